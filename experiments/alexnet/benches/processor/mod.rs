//! Processor time.

use anyhow::Context as _;

/// Seconds of processor time that the threads of this process have had; Linux counts it in hundredths.
/// Other processes on the machine change it little, unlike the time on the wall.
pub(crate) fn processor_s() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after) = stat.rsplit_once(") ").context("/proc/self/stat has a name in brackets")?;
    let fields: Vec<&str> = after.split(' ').collect();
    // Fields 14 and 15 of the line, user and system.
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
