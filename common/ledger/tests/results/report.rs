use std::path::Path;

use ledger::report::write;
use ledger::run::Status;
use predicates::prelude::*;

use crate::tree::Tree;

/// What a browser shows of a piece of the page: no tags, entities resolved, single blanks.
fn shown(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((text, tag)) = rest.split_once('<') {
        out.push_str(text);
        out.push(' ');
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    for (entity, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'")] {
        out = out.replace(entity, c);
    }
    let out = out.replace("&#x2f;", "/").replace("&nbsp;", " ").replace("&amp;", "&");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The row of the ledger's table that holds an id, as shown.
fn row(page: &str, id: &str) -> String {
    let at = page.find(&format!("<code>{id}</code>")).expect("a row with the id");
    let (start, end) = (page[..at].rfind("<tr").unwrap(), page[at..].find("</tr>").unwrap());
    shown(&page[start..at + end])
}

#[test]
fn a_page_without_runs_says_how_to_start() {
    let tree = Tree::new();
    let page = write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    assert_eq!(page, tree.path("results/index.html"));
    let text = shown(&tree.read("results/index.html"));
    assert!(text.contains("Nothing has run yet. Start with make demo"), "{text}");
    assert!(text.contains("3 claims not run"), "{text}");
    assert_eq!(tree.files("results"), ["index.html", "ledger.csv"]);
}

#[test]
fn a_row_shows_published_and_measured_value_interval_seeds_verdict_and_command() {
    let tree = Tree::new();
    tree.run("results", |_| {});
    tree.measured("results", "overnight", 5.123_456);
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    assert!(!shown(&page).contains("Nothing has run yet"));
    assert_eq!(
        row(&page, "factor"),
        "how much faster A paper, Fig. 1 · factor 6× 5.123× 4.123 to 6.123 numbers runs files 3 seeds \
         overnight cifar10 reproduced 5.123 lies within 4 to 9, the tolerance around 6 \
         make demo STUDY=speed PRESET=overnight"
    );
    let memory = row(&page, "memory");
    assert!(memory.contains("1.4 points unverified ≥ 2.5 points"), "{memory}");
    let size = row(&page, "size");
    assert!(size.contains("60,000,000 parameters"), "{size}");
    assert!(size.contains("not run not_built"), "{size}");
    let totals = page[..page.find("<main>").unwrap()].rsplit("<ul").next().unwrap();
    let counts = "1 reproduced 0 exceeds 0 trend 0 not reproduced 1 not run 1 unverified";
    assert!(shown(totals).contains(counts), "{}", shown(totals));
    // The rows without a verdict are folded away, after those with one.
    let folded = page.find("1\u{a0}claim not run").unwrap();
    assert!(page.find("<code>factor</code>").unwrap() < folded);
    assert!(page.find("<code>size</code>").unwrap() > folded);
}

#[test]
fn markup_in_files_is_shown_and_never_taken_as_markup() {
    let tree = Tree::new();
    let bad = "<script>alert(1)</script> & \"\"<b>\"\" | x";
    tree.edit("experiments/demo/claims.csv", "how much faster", &format!("\"{bad}\""));
    for base in ["results", "results/reference"] {
        tree.run(base, |record| {
            record.host.cpu = "<script>cpu</script>".into();
            record.metrics.insert("<script>metric</script>".into(), 1.0);
        });
        tree.measured(base, "overnight", 5.0);
        write(tree.root(), &tree.path(base), &tree.reference()).unwrap();
        let page = tree.read(&format!("{base}/index.html"));
        assert!(!page.contains("<script"), "{page}");
        assert!(shown(&page).contains("<script>alert(1)</script> & \"<b>\" | x"));
        assert!(shown(&page).contains("<script>cpu</script>"));
    }
    let readme = tree.read("results/reference/README.md");
    assert!(!readme.contains("<script"), "{readme}");
    assert!(readme.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; \"&lt;b&gt;\" \\| x"));
}

#[test]
fn figures_stand_in_the_page_with_their_description_best_preset_first() {
    let tree = Tree::new();
    for preset in ["smoke", "laptop", "laptop+1a2b3c4d", "overnight"] {
        tree.figure("results", preset);
    }
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    let svg = tree.read("results/demo/overnight/speed/error.svg");
    assert!(page.contains(svg.trim_end()), "the drawing itself");
    assert!(
        page.contains("<figcaption>Error &lt; 1 at the preset overnight, 3 seeds.</figcaption>")
    );
    let place = |preset: &str| {
        page.find(&format!("<figcaption>Error &lt; 1 at the preset {preset}, 3")).unwrap()
    };
    let order = ["overnight", "laptop", "laptop+1a2b3c4d", "smoke"].map(place);
    assert!(order.is_sorted(), "{order:?}");
    assert!(place("overnight") < page.find("<details").unwrap());
    for outside in ["src=", "http-equiv", "@import", "<link", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

const MILESTONE: &str = "\
title = 'The demonstration'
years = [1998, 2001]
paper = 'Somebody: A paper'
story = 'It was <shown>.'
figures = ['speed/nothing-drawn', 'speed/err']
claims = ['factor', 'size']
";

#[test]
fn the_story_tells_milestones_by_year_with_key_figure_and_headlines() {
    let tree = Tree::new();
    tree.write("experiments/another/claims.csv", tree.read("experiments/demo/claims.csv"));
    let earlier = MILESTONE.replace("demonstration", "beginning").replace("1998, 2001", "1990");
    tree.write("experiments/zeroth/milestone.toml", earlier);
    tree.write("experiments/zeroth/claims.csv", tree.read("experiments/demo/claims.csv"));
    tree.write("experiments/demo/milestone.toml", MILESTONE);
    tree.write("experiments/demo/README.md", "# Demo");
    tree.run("results", |_| {});
    tree.measured("results", "overnight", 5.0);
    tree.figure("results", "laptop");
    tree.figure("results", "overnight");
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    let section = |id: &str| {
        let start = page.find(&format!("<section id=\"{id}\"")).expect(id);
        &page[start..start + page[start..].find("</section>").unwrap()]
    };
    let story = section("story");
    let told = shown(story);
    assert!(
        told.find("1990 The beginning") < told.find("1998 to 2001 The demonstration"),
        "{told}"
    );
    for said in [
        "Somebody: A paper It was <shown>. See it happen: make demo",
        "Error < 1 at the preset overnight, 3 seeds. overnight",
        "how much faster reproduced published 6× ; here 5× (4 to 6) 3 seeds, overnight, cifar10",
        "parameters not run published 60,000,000 parameters ; here not measured",
    ] {
        assert!(told.contains(said), "expected: {said}\n     got: {told}");
    }
    // The key figure is drawn once; its study leads to it. Those without a milestone come last.
    let svg = tree.read("results/demo/overnight/speed/error.svg");
    assert_eq!(page.matches(svg.trim_end()).count(), 1);
    assert!(story.contains(svg.trim_end()));
    let demo = section("demo");
    assert!(shown(demo).contains("Its figure stands in the story"), "{demo}");
    let readme = "<a href=\"../experiments/demo/README.md\">";
    assert!(demo.replace("&#x2f;", "/").contains(readme), "{demo}");
    let place = |id: &str| page.find(&format!("<section id=\"{id}\"")).unwrap();
    assert!(["story", "claims", "zeroth", "demo", "another"].map(place).is_sorted());
    // Links lead somewhere.
    for link in ["demo-overnight-speed-figures", "demo-overnight-runs", "story-demo", "demo"] {
        assert!(page.contains(&format!("href=\"#{link}\"")), "{link}");
        assert_eq!(page.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
    }
}

#[test]
fn a_milestone_that_does_not_fit_is_named_with_what_is_wrong() {
    for (from, to, said) in [
        ("'factor'", "'fatcor'", "fatcor is not an id of claims.csv"),
        ("1998, 2001", "", "years is empty"),
        ("speed/err", "speed", "wanted STUDY/BEGINNING-OF-ITS-NAME"),
        ("story", "stroy", "unknown field `stroy`"),
    ] {
        let tree = Tree::new();
        tree.write("experiments/demo/milestone.toml", MILESTONE.replacen(from, to, 1));
        let error = write(tree.root(), &tree.results(), &tree.reference()).unwrap_err().to_string();
        let named = error.contains("experiments/demo/milestone.toml: ") && error.contains(said);
        assert!(named, "expected: {said}\n     got: {error}");
        assert!(!tree.path("results/index.html").exists());
    }
}

#[test]
fn every_check_box_hides_rows_by_style_alone() {
    let tree = Tree::new();
    tree.run("results", |_| {});
    for preset in ["overnight", "laptop", "laptop+1a2b3c4d"] {
        tree.measured("results", preset, 5.0);
    }
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    let boxes: Vec<&str> = page
        .split("id=\"show-")
        .skip(1)
        .map(|rest| rest.split('"').next().expect("the id ends"))
        .collect();
    assert_eq!(boxes, ["reproduced", "trend", "not_run", "overnight", "laptop", "changed"]);
    for name in boxes {
        let classes = [format!(".is-{name}"), format!(".at-{name}")];
        let rule = format!("#claims:has(#show-{name}:not(:checked)) ~ section ");
        let hidden = page.split(&rule).nth(1).unwrap_or_else(|| panic!("no style for {name}"));
        assert!(classes.iter().any(|class| hidden.starts_with(class.as_str())), "{name}");
        let class = if hidden.starts_with(".is-") { "is" } else { "at" };
        assert!(page.contains(&format!(" {class}-{name}")), "no row of {name}");
    }
}

#[test]
fn a_picture_that_stands_in_a_figure_stands_in_the_page() {
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\">";
    let picture = "<image href=\"data:image/png;base64,iVBORw0KGgo=\"/>";
    let tree = Tree::new();
    tree.write("results/demo/laptop/speed/kernels.svg", format!("{svg}{picture}</svg>"));
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    assert!(tree.read("results/index.html").contains(picture));
}

#[test]
fn a_figure_that_would_run_or_load_something_is_refused_by_name() {
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"";
    for bad in [
        format!("{svg}><script>alert(1)</script></svg>"),
        format!("{svg} onload=\"alert(1)\"/>"),
        format!("{svg}><rect fill=\"url(https://example.org/x)\"/></svg>"),
        format!("{svg}><use href=\"other.svg\"/></svg>"),
        format!("{svg}><image href=\"https://example.org/x.png\"/></svg>"),
        format!("{svg}><image href=\"data:image/svg+xml;base64,PHN2Zy8+\"/></svg>"),
        format!("{svg}><use href=\"data:image/png;base64,iVBORw0KGgo=\"/></svg>"),
        "<html/>".to_owned(),
        "no markup".to_owned(),
    ] {
        let tree = Tree::new();
        tree.write("results/demo/laptop/speed/bad.svg", &bad);
        let error = write(tree.root(), &tree.results(), &tree.reference()).unwrap_err();
        assert!(error.to_string().contains("bad.svg"), "{error}");
        assert!(!tree.path("results/index.html").exists());
    }
}

#[test]
fn the_published_value_stands_beside_ours_and_not_beside_itself() {
    let tree = Tree::new();
    tree.measured("results/reference", "overnight", 5.5);
    tree.measured("results/reference", "laptop", 7.5);
    write(tree.root(), &tree.reference(), &tree.reference()).unwrap();
    tree.measured("results", "laptop", 4.5);
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    // The published measurement at the same preset, rather than the headline.
    let factor = row(&page, "factor");
    assert!(factor.contains("4.5× 3.5 to 5.5 numbers files 7.5× 6.5 to 8.5 3 seeds"), "{factor}");
    assert!(page.contains(">Reference</th>"));
    assert!(!tree.read("results/reference/index.html").contains(">Reference</th>"));
    // At another preset the headline, and which it is.
    tree.measured("results", "smoke", 4.5);
    std::fs::remove_dir_all(tree.path("results/demo/laptop")).unwrap();
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let factor = row(&tree.read("results/index.html"), "factor");
    assert!(factor.contains("5.5× 4.5 to 6.5 3 seeds, overnight"), "{factor}");
}

#[test]
fn the_pages_depend_on_the_files_alone() {
    let pages = || {
        let tree = Tree::new();
        for base in ["results", "results/reference"] {
            tree.run(base, |_| {});
            tree.run(base, |record| record.key.seed = 1);
            tree.measured(base, "overnight", 5.0);
            tree.figure(base, "overnight");
        }
        write(tree.root(), &tree.reference(), &tree.reference()).unwrap();
        write(tree.root(), &tree.results(), &tree.reference()).unwrap();
        let files = ["index.html", "reference/index.html", "reference/README.md"];
        let pages = files.map(|file| tree.read(&format!("results/{file}")));
        let here = tree.root().to_str().unwrap();
        assert!(pages.iter().all(|page| !page.contains(here)), "no path of this machine");
        pages
    };
    assert_eq!(pages(), pages());
}

#[test]
fn every_run_is_listed_and_those_that_are_not_complete_are_marked() {
    let tree = Tree::new();
    tree.run("results", |_| {});
    let states = [Status::Running, Status::Interrupted, Status::Failed];
    for (seed, status) in (1..).zip(states) {
        tree.run("results", |record| {
            record.key.seed = seed;
            record.status = status;
            record.build.dirty = true;
        });
    }
    tree.write("results/demo/overnight/speed/cifar10/fast/seed-4/run.json", "{\"schema\"");
    // A published run is no run of ours.
    tree.run("results/reference", |record| record.key.seed = 7);
    write(tree.root(), &tree.results(), &tree.reference()).unwrap();
    let page = tree.read("results/index.html");
    assert!(shown(&page).contains("overnight: 5 runs, 4 of them not complete"));
    let run = |seed: u64| row(&page, &format!("speed&#x2f;cifar10&#x2f;fast&#x2f;seed-{seed}"));
    assert_eq!(
        run(0),
        "speed/cifar10/fast/seed-0 run.json metrics.csv complete 0 3 min 05 s 1.50 GB A processor, AVX2, 2 cores \
         01234567 test/error 0.25"
    );
    for (seed, word) in [(1, "unfinished"), (2, "interrupted"), (3, "failed"), (4, "unreadable")] {
        assert!(
            run(seed).contains(&format!("seed-{seed} run.json metrics.csv {word}")),
            "{}",
            run(seed)
        );
    }
    assert!(run(1).contains("01234567 + uncommitted changes"), "{}", run(1));
    assert!(!page.contains("seed-7"));
}

#[test]
fn the_readme_holds_the_table_measured_claims_first_and_relative_pictures() {
    let tree = Tree::new();
    tree.measured("results/reference", "overnight", 5.0);
    tree.figure("results/reference", "overnight");
    write(tree.root(), &tree.reference(), &tree.reference()).unwrap();
    let readme = tree.read("results/reference/README.md");
    assert!(readme.contains("](<demo/overnight/speed/error.png>)"), "{readme}");
    assert!(tree.path("results/reference/demo/overnight/speed/error.png").is_file());
    assert!(readme.contains("| reproduced | 1 |"), "{readme}");
    let rows: Vec<_> = readme.lines().filter(|line| line.contains("<br>")).collect();
    assert_eq!(rows.len(), 3, "{readme}");
    assert_eq!(
        rows[0],
        "| how much faster<br><sub>A paper, Fig. 1; factor</sub> | 6× | 5× (4 to 6) | \
         3\u{a0}seeds, overnight, cifar10 | **reproduced** | 5 lies within 4 to 9, the tolerance \
         around 6 | `make demo STUDY=speed PRESET=overnight` |"
    );
    assert!(rows[2].contains("**not run**"), "{readme}");
    assert!(!tree.path("results/README.md").exists());
}

#[test]
fn the_program_prints_the_page_and_one_error_with_the_place() {
    let tree = Tree::new();
    let page = Path::new("results").join("index.html");
    let line = format!("{}\n", page.display());
    tree.ledger(&["report"]).assert().success().stdout(line);
    tree.edit("experiments/demo/claims.csv", "ratio,6", "ratio,six");
    let place = predicate::str::contains("claims.csv, line 2, column published: found \"six\"");
    let error = predicate::str::starts_with("error: ").and(place);
    tree.ledger(&["report"]).assert().code(1).stdout("").stderr(error);
    tree.ledger(&["report", "--nonsense"]).assert().code(2);
}
