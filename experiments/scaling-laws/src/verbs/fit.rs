//! `fit`: a law fitted to anyone's table of runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use common::cli;
use serde_json::{Map, Value, json};

use crate::exclude::Exclude;
use crate::figures;
use crate::fit::{self, Draws, Fit, Form, Point, bootstrap, without_largest};
use crate::table::{Column, Variables, read};

/// The laws by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormName {
    Hoffmann,
    Shared,
    Kaplan,
    Power,
}

/// The flags of `fit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Table of runs, with a header line
    file: PathBuf,
    /// The law: L = E + A/N^alpha + B/D^beta, the same with one exponent, Kaplan's L(N, D), or
    /// y = E + a·x^-k
    #[arg(long, value_enum, default_value = "hoffmann")]
    form: FormName,
    /// Column of parameters [default: params]; the variable of a power law unless another is named
    #[arg(long, value_name = "C")]
    params_col: Option<String>,
    /// Column of training tokens [default: tokens]
    #[arg(long, value_name = "C")]
    tokens_col: Option<String>,
    /// Column of training FLOPs: a power law's variable, or 6·N·D in place of N or D
    #[arg(long, value_name = "C")]
    flops_col: Option<String>,
    /// Column of losses, in nats per token
    #[arg(long, value_name = "C", default_value = "loss")]
    loss_col: String,
    /// Huber's delta, in log loss
    #[arg(long, default_value_t = 1e-3)]
    delta: f64,
    /// Bootstrap draws for the intervals; 0: none
    #[arg(long, value_name = "N", default_value_t = 1000)]
    bootstrap: usize,
    /// Rows to leave out, e.g. 'tokens < 1e8 or seed == 3'
    #[arg(long, value_name = "EXPR")]
    exclude: Option<String>,
    /// Draw residuals as STEM.svg and STEM.png
    #[arg(long, value_name = "STEM")]
    residuals: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The seed of every bootstrap.
pub(crate) const SEED: u64 = 0;

/// Fits, prints, warns.
///
/// # Errors
/// If the table is bad or has too few points, or stdout is closed.
pub fn fit(args: &Args) -> anyhow::Result<()> {
    cli::start_logs(false, 0);
    ensure!(
        args.delta.is_finite() && args.delta > 0.0,
        "--delta is {}, wanted a positive number such as 1e-3",
        args.delta
    );
    let (form, variables) = args.variables()?;
    let exclude = args.exclude.as_deref().map(Exclude::parse).transpose()?;
    let loss = Column { name: args.loss_col.clone(), flag: "--loss-col" };
    let points = read(&args.file, &variables, &loss, exclude.as_ref())?;
    let best = fit::fit(form, &points, args.delta)?;
    let draws =
        (args.bootstrap > 0).then(|| bootstrap(&best, &points, args.delta, args.bootstrap, SEED));
    warn(&best, draws.as_ref());
    if let Some(stem) = &args.residuals {
        figures::residuals(&best, &points).write(stem)?;
    }
    let text = if args.json {
        format!("{:#}\n", as_json(&best, points.len(), draws.as_ref()))
    } else {
        as_text(&best, &points, args.delta, draws.as_ref())
    };
    Ok(cli::print(&text)?)
}

impl Args {
    /// The law and where its variables stand.
    fn variables(&self) -> anyhow::Result<(Form, Variables)> {
        let column = |name: &Option<String>, fallback: &str, flag| Column {
            name: name.clone().unwrap_or_else(|| fallback.to_owned()),
            flag,
        };
        let params = column(&self.params_col, "params", "--params-col");
        let tokens = column(&self.tokens_col, "tokens", "--tokens-col");
        let flops = column(&self.flops_col, "flops", "--flops-col");
        let named = (&self.params_col, &self.tokens_col, &self.flops_col);
        let form = match self.form {
            FormName::Hoffmann => Form::Hoffmann,
            FormName::Shared => Form::Shared,
            FormName::Kaplan => Form::Kaplan,
            FormName::Power => Form::Power,
        };
        if form == Form::Power {
            let one = match named {
                (_, None, None) => params,
                (None, Some(_), None) => tokens,
                (None, None, Some(_)) => flops,
                _ => bail!(
                    "--form power has one variable: name one of --params-col, --tokens-col, \
                     --flops-col"
                ),
            };
            return Ok((form, Variables::One(one)));
        }
        let two = match named {
            (_, _, None) => Variables::ParamsTokens(params, tokens),
            (_, None, Some(_)) => Variables::ParamsFlops(params, flops),
            (None, Some(_), Some(_)) => Variables::TokensFlops(tokens, flops),
            _ => bail!("two of --params-col, --tokens-col, --flops-col say the third: name two"),
        };
        Ok((form, two))
    }
}

fn warn(best: &Fit, draws: Option<&Draws>) {
    if !best.converged {
        tracing::warn!("the fit has not converged: its constants are not to be relied on");
    }
    let Some(draws) = draws else { return };
    let share = draws.converged();
    if share < 0.95 {
        let percent = 100.0 * share;
        tracing::warn!("{percent:.0} % of the bootstrap's fits converged: the intervals are rough");
    }
    let intervals = draws.of_constants(best.form);
    for i in draws.open(best) {
        let (key, [low, high]) = (best.form.keys()[i], intervals[i]);
        tracing::warn!(
            "the data do not identify {key}: 95 % from {low:.4e} to {high:.4e}; add runs that \
             differ more in its variable, or take a form without it"
        );
    }
}

fn as_json(best: &Fit, n_points: usize, draws: Option<&Draws>) -> Value {
    let keys = || best.form.keys().iter().map(|key| (*key).to_owned());
    let parameters: Map<String, Value> =
        keys().zip(best.named().into_iter().map(|value| json!(value))).collect();
    let intervals = draws.map(|draws| {
        let all = draws.of_constants(best.form).into_iter().map(|ends| json!(ends));
        keys().zip(all).collect::<Map<String, Value>>()
    });
    json!({
        "form": best.form.name(),
        "n_points": n_points,
        "parameters": parameters,
        "intervals": intervals,
        "objective": best.objective,
        "converged": best.converged,
    })
}

fn as_text(best: &Fit, points: &[Point], delta: f64, draws: Option<&Draws>) -> String {
    let form = best.form;
    let mut out = format!("{} on {} points\n", form.name(), points.len());
    let mut line = |name: &str, value: f64, ends: Option<[f64; 2]>| {
        let ends = ends.map(|[low, high]| format!("   95 % [{low:.4e}, {high:.4e}]"));
        writeln!(out, "{name:>8} {value:.6e}{}", ends.unwrap_or_default())
            .expect("a String takes everything");
    };
    let intervals = draws.map(|draws| draws.of_constants(form));
    for (i, (key, value)) in form.keys().iter().zip(best.named()).enumerate() {
        line(key, value, intervals.as_ref().map(|all| all[i]));
    }
    if form == Form::Hoffmann {
        // Source: Hoffmann et al. 2022, eq. 4: N_opt goes as C^a, D_opt as C^b.
        let a = |fit: &Fit| fit.theta[4] / (fit.theta[3] + fit.theta[4]);
        let ends = draws.map(|draws| draws.interval(a));
        line("a", a(best), ends);
        line("b", 1.0 - a(best), ends.map(|[low, high]| [1.0 - high, 1.0 - low]));
    }
    let objective = best.objective;
    let _ = writeln!(out, "objective {objective:.6e}, converged: {}", best.converged);
    if form == Form::Power
        && let Ok(pure) = fit::fit(Form::PurePower, points, delta)
    {
        let ([a, k, _], objective) = (
            <[f64; 3]>::try_from(pure.named()).expect("a power law has three keys"),
            pure.objective,
        );
        let _ = writeln!(out, "with E = 0: a {a:.6e}, k {k:.6e}, objective {objective:.6e}");
    }
    if let Ok((predicted, measured)) = without_largest(form, points, delta) {
        let off = 100.0 * (predicted / measured - 1.0);
        let _ = writeln!(
            out,
            "largest run left out: predicted loss {predicted:.4}, measured {measured:.4} \
             ({off:+.2} %)"
        );
    }
    out
}
