//! Which of several processes this one is, and where they meet: from the variables that `torchrun` or Slurm set.

use std::time::Duration;

/// How long processes wait for each other, in seconds, where nothing else is said.
const TIMEOUT_S: u64 = 600;
/// The variable that says otherwise.
const TIMEOUT: &str = "LANDMARKS_TIMEOUT_S";

/// A variable that is missing or cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It is not set, beside another one.
    #[error(
        "{name} is not set, though {beside} is: start all processes with torchrun or srun, or unset {beside} to train \
         with one"
    )]
    Missing {
        /// The variable.
        name: &'static str,
        /// What asks for it.
        beside: &'static str,
    },
    /// It holds something else than what it should.
    #[error("{name}={value}: wanted {wanted}")]
    Wrong {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        wanted: String,
    },
}

/// One of several processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which one, from 0.
    pub rank: usize,
    /// How many there are, 2 at the least.
    pub size: usize,
    /// The machine where they meet.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Whether this process keeps the store there: not where `torchrun` does.
    pub(crate) serves: bool,
    /// Which start of the job this is: keys of an earlier one may still be in the store.
    pub(crate) attempt: u64,
    /// How long processes wait for each other.
    pub timeout: Duration,
}

impl Place {
    /// This process's place; `None` where it is alone.
    ///
    /// # Errors
    /// A variable that is missing or cannot be used.
    pub fn from_env() -> Result<Option<Self>, PlaceError> {
        Self::from(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    /// As [`Place::from_env`] with variables from elsewhere.
    fn from(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, PlaceError> {
        let [size_by, rank_by] = if var("WORLD_SIZE").is_some() {
            ["WORLD_SIZE", "RANK"]
        } else {
            // Set by srun for the tasks that it starts; a batch script itself has only SLURM_NTASKS.
            ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID"]
        };
        let number = |name: &'static str| -> Result<Option<u64>, PlaceError> {
            var(name)
                .map(|value| {
                    value.trim().parse().map_err(|_| wrong(name, &value, "a whole number"))
                })
                .transpose()
        };
        let missing = |name| PlaceError::Missing { name, beside: size_by };
        let size = match number(size_by)? {
            None | Some(1) => return Ok(None),
            Some(0) => return Err(wrong(size_by, "0", "a whole number from 1")),
            Some(size) => size as usize,
        };
        let rank = number(rank_by)?.ok_or_else(|| missing(rank_by))? as usize;
        if rank >= size {
            let wanted = format!("below {size_by}, which is {size}");
            return Err(wrong(rank_by, &rank.to_string(), &wanted));
        }
        let slurm = size_by != "WORLD_SIZE";
        let host = var("MASTER_ADDR")
            .or_else(|| var("SLURM_STEP_NODELIST").filter(|_| slurm).map(|list| first_host(&list)))
            .ok_or_else(|| missing("MASTER_ADDR"))?;
        let port = match number("MASTER_PORT")? {
            Some(port) => u16::try_from(port)
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| wrong("MASTER_PORT", &port.to_string(), "a port, 1 to 65535"))?,
            None => number("SLURM_JOB_ID")?
                .filter(|_| slurm)
                .map(port_of_job)
                .ok_or_else(|| missing("MASTER_PORT"))?,
        };
        Ok(Some(Self {
            rank,
            size,
            host,
            port,
            serves: rank == 0 && var("TORCHELASTIC_USE_AGENT_STORE").as_deref() != Some("True"),
            attempt: number("TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0),
            timeout: match number(TIMEOUT)?.unwrap_or(TIMEOUT_S) {
                0 => return Err(wrong(TIMEOUT, "0", "seconds, 1 or more")),
                seconds => Duration::from_secs(seconds),
            },
        }))
    }
}

fn wrong(name: &'static str, value: &str, wanted: &str) -> PlaceError {
    PlaceError::Wrong { name, value: value.to_owned(), wanted: wanted.to_owned() }
}

/// A port that the processes of a Slurm job agree on: two jobs that share a machine have others, as a rule.
fn port_of_job(job: u64) -> u16 {
    const FIRST: u64 = 20_000;
    (FIRST + job % FIRST) as u16
}

/// The first host of Slurm's `node[01-04,07],other`: `node01`.
fn first_host(list: &str) -> String {
    let mut host = String::new();
    let mut rest = list;
    while let Some(end) = rest.find([',', '[']) {
        host += &rest[..end];
        if rest[end..].starts_with(',') {
            return host;
        }
        let inside = &rest[end + 1..];
        host += &inside[..inside.find([',', '-', ']']).unwrap_or(inside.len())];
        rest = inside.find(']').map_or("", |close| &inside[close + 1..]);
    }
    host + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(vars: &[(&str, &str)]) -> Result<Option<Place>, PlaceError> {
        Place::from(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn torchrun_s_variables_say_rank_size_and_meeting_place() {
        let vars = [
            ("WORLD_SIZE", "4"),
            ("RANK", "0"),
            ("MASTER_ADDR", "10.0.0.1"),
            ("MASTER_PORT", "29500"),
        ];
        let found = place(&vars).unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.port), (0, 4, 29_500));
        assert_eq!(found.host, "10.0.0.1");
        assert!(found.serves);
        let agent = [vars.as_slice(), &[("TORCHELASTIC_USE_AGENT_STORE", "True")]].concat();
        assert!(!place(&agent).unwrap().unwrap().serves);
    }

    #[test]
    fn one_process_is_alone_and_a_batch_script_too() {
        assert_eq!(place(&[]), Ok(None));
        assert_eq!(place(&[("WORLD_SIZE", "1"), ("RANK", "0")]), Ok(None));
        assert_eq!(place(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")]), Ok(None));
    }

    #[test]
    fn slurm_s_tasks_meet_on_the_first_host_at_a_port_of_the_job() {
        let found = place(&[
            ("SLURM_STEP_NUM_TASKS", "16"),
            ("SLURM_PROCID", "9"),
            ("SLURM_STEP_NODELIST", "gpu[07-08]"),
            ("SLURM_JOB_ID", "123456"),
        ]);
        let found = found.unwrap().unwrap();
        assert_eq!((found.rank, found.size, found.serves), (9, 16, false));
        assert_eq!((found.host.as_str(), found.port), ("gpu07", 23_456));
    }

    #[test]
    fn the_first_host_of_a_list_is_read_out_of_its_brackets() {
        for (list, first) in [
            ("node1", "node1"),
            ("node1,node2", "node1"),
            ("node[01-04,07],other", "node01"),
            ("node[3,5]", "node3"),
            ("rack[1-2]node[03-04]", "rack1node03"),
        ] {
            assert_eq!(first_host(list), first, "{list}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let error = |vars: &[(&str, &str)]| place(vars).unwrap_err().to_string();
        assert!(error(&[("WORLD_SIZE", "2")]).starts_with("RANK is not set"));
        let two = [("WORLD_SIZE", "2"), ("RANK", "1")];
        assert!(error(&two).starts_with("MASTER_ADDR is not set"));
        let host = [two.as_slice(), &[("MASTER_ADDR", "a")]].concat();
        assert!(error(&host).starts_with("MASTER_PORT is not set"));
        for (name, value) in [("RANK", "2"), ("WORLD_SIZE", "two"), ("MASTER_PORT", "70000")] {
            let mut vars = [host.as_slice(), &[("MASTER_PORT", "1")]].concat();
            vars.retain(|(n, _)| *n != name);
            vars.push((name, value));
            let said = error(&vars);
            assert!(said.starts_with(&format!("{name}={value}: wanted")), "{said}");
        }
    }
}
