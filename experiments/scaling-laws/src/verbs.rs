//! The verb `fit`: a law fitted to anyone's table of runs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::fit::{Form, bootstrap, fit, without_largest};
use crate::table::{Column, read};

/// What this experiment adds to the command line.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fit a scaling law to a CSV of runs.
    Fit(FitArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormName {
    Hoffmann,
    Kaplan,
    Power,
}

/// The flags of `fit`.
#[derive(Debug, Args)]
pub struct FitArgs {
    /// Table of runs, with a header line
    file: PathBuf,
    /// The law: L = E + A/N^alpha + B/D^beta, Kaplan's L(N, D), or y = E + a·x^-k
    #[arg(long, value_enum, default_value = "hoffmann")]
    form: FormName,
    /// Column of parameters; the variable of a power law unless another is named
    #[arg(long)]
    params_col: Option<String>,
    /// Column of training tokens
    #[arg(long)]
    tokens_col: Option<String>,
    /// Column of training FLOPs, for a power law in compute
    #[arg(long)]
    flops_col: Option<String>,
    /// Column of losses, in nats per token
    #[arg(long, default_value = "loss")]
    loss_col: String,
    /// Huber's delta, in log loss
    #[arg(long, default_value_t = 1e-3)]
    delta: f64,
    /// Bootstrap draws for the intervals; 0: none
    #[arg(long, default_value_t = 1000)]
    bootstrap: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// If the table is bad or has too few points, or stdout is closed.
pub fn execute(verb: Verb) -> anyhow::Result<()> {
    let Verb::Fit(args) = verb;
    ensure!(
        args.delta.is_finite() && args.delta > 0.0,
        "--delta is {}, wanted a positive number such as 1e-3",
        args.delta
    );
    let column = |name: &Option<String>, fallback: &str, flag| Column {
        name: name.clone().unwrap_or_else(|| fallback.to_owned()),
        flag,
    };
    let params = column(&args.params_col, "params", "--params-col");
    let tokens = column(&args.tokens_col, "tokens", "--tokens-col");
    let flops = column(&args.flops_col, "flops", "--flops-col");
    let (form, x, y) = match args.form {
        FormName::Hoffmann => (Form::Hoffmann, params, Some(tokens)),
        FormName::Kaplan => (Form::Kaplan, params, Some(tokens)),
        FormName::Power => {
            let named = [&args.params_col, &args.tokens_col, &args.flops_col];
            ensure!(
                named.iter().filter(|n| n.is_some()).count() <= 1,
                "--form power has one variable: name one of --params-col, --tokens-col, --flops-col"
            );
            let x = match (&args.tokens_col, &args.flops_col) {
                (Some(_), _) => tokens,
                (_, Some(_)) => flops,
                _ => params,
            };
            (Form::Power, x, None)
        }
    };
    let loss = Column { name: args.loss_col.clone(), flag: "--loss-col" };
    let points = read(&args.file, &x, y.as_ref(), &loss)?;
    let best = fit(form, &points, args.delta)?;
    let intervals =
        (args.bootstrap > 0).then(|| bootstrap(&best, &points, args.delta, args.bootstrap, 0));
    let named = best.named();
    if !best.converged {
        eprintln!("warning: the fit has not converged: its constants are not to be relied on");
    }
    for (key, [low, high]) in form.keys().iter().zip(intervals.iter().flatten()) {
        // Five decades between the ends: the data do not say what the constant is.
        if *low <= 0.0 || high / low > 1e5 {
            eprintln!("warning: the data do not identify {key}: 95 % from {low:.4e} to {high:.4e}");
        }
    }
    if let Ok((predicted, measured)) = without_largest(form, &points, args.delta) {
        eprintln!("largest run left out: predicted loss {predicted:.4}, measured {measured:.4}");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let parameters: Map<String, Value> =
            form.keys().iter().zip(&named).map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        let intervals = intervals.map(|all| {
            form.keys()
                .iter()
                .zip(all)
                .map(|(k, i)| ((*k).to_owned(), json!(i)))
                .collect::<Map<String, Value>>()
        });
        let fitted = json!({
            "form": form.name(),
            "n_points": points.len(),
            "parameters": parameters,
            "intervals": intervals,
            "objective": best.objective,
            "converged": best.converged,
        });
        writeln!(out, "{fitted:#}")?;
        return Ok(());
    }
    writeln!(out, "{} on {} points", form.name(), points.len())?;
    for (i, (key, value)) in form.keys().iter().zip(&named).enumerate() {
        write!(out, "{key:>8} {value:.6e}")?;
        if let Some([low, high]) = intervals.as_ref().map(|all| all[i]) {
            write!(out, "   95 % [{low:.4e}, {high:.4e}]")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "objective {:.6e}, converged: {}", best.objective, best.converged)?;
    Ok(())
}
