//! Times a bootstrap of the five-parameter fit on a table of runs. Prints one JSON object. `bench/fits` sets it beside
//! scipy's L-BFGS-B doing the same fits.
#![expect(clippy::print_stdout, reason = "the result is for a program")]

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use scaling_laws::fit::{Form, Point, bootstrap, fit};

#[derive(Parser)]
struct Args {
    /// Table with the columns params, tokens, loss
    #[arg(long)]
    points: PathBuf,
    /// Bootstrap draws
    #[arg(long, default_value_t = 1000)]
    draws: usize,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

/// As `fit` has it.
const DELTA: f64 = 1e-3;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut reader = csv::Reader::from_path(&args.points)?;
    let rows = reader.deserialize::<(f64, f64, f64)>();
    let points = rows
        .map(|row| row.map(|(x, y, loss)| Point { x, y, loss }))
        .collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let best = fit(Form::Hoffmann, &points, DELTA)?;
    let fit_s = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let draws = bootstrap(&best, &points, DELTA, args.draws, 0);
    let bootstrap_s = begun.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "n_points": points.len(),
            "fit_s": fit_s,
            "bootstrap_s": bootstrap_s,
            "draws_per_s": args.draws as f64 / bootstrap_s,
            "objective": best.objective,
            "converged": draws.converged(),
        })
    );
    Ok(())
}
