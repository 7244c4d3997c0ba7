//! `data`: fetch and verify data sets, or say what is there.

use std::collections::BTreeSet;

use anyhow::bail;

use super::DataArgs;
use crate::data::catalog::{Catalog, DataSet};
use crate::data::error::DataError;
use crate::data::lookup::Status;
use crate::data::where_from;
use crate::experiment::Experiment;

pub(super) fn data(experiment: &Experiment, args: &DataArgs) -> anyhow::Result<()> {
    let lookup = args.places.lookup()?;
    let catalog = Catalog::builtin();
    if !args.check {
        // Of a study's alternatives the first that can be had; of sets that were named, each.
        let wanted: Vec<Vec<&str>> = if args.sets.is_empty() {
            let mut seen = BTreeSet::new();
            let lists = experiment.studies.iter().map(|study| study.datasets);
            lists.filter(|l| !l.is_empty() && seen.insert(*l)).map(<[_]>::to_vec).collect()
        } else {
            args.sets.iter().map(|name| vec![name.as_str()]).collect()
        };
        let mut nowhere = None;
        let mut here = 0;
        for names in wanted {
            match catalog.first_available(&names, &lookup) {
                Ok(located) => {
                    here += 1;
                    super::print(&format!("{}: whole, from {}\n", located.name, located.source))?;
                }
                // Some studies want data that only a user or a mirror folder has; the others go on.
                Err(error @ DataError::Unavailable { .. }) if args.sets.is_empty() => {
                    super::print(&format!("{}: cannot be had here\n", names.join(" or ")))?;
                    nowhere = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        return match nowhere {
            Some(error) if here == 0 => Err(error.into()),
            _ => Ok(()),
        };
    }
    let names: Vec<&str> = if args.sets.is_empty() {
        let mut seen = BTreeSet::new();
        let names = experiment.studies.iter().flat_map(|study| study.datasets.iter().copied());
        names.filter(|name| seen.insert(*name)).collect()
    } else {
        args.sets.iter().map(String::as_str).collect()
    };
    let (mut here, mut damaged) = (0, 0);
    for name in &names {
        let line = match catalog.check(name, &lookup) {
            Ok(Status::Here(located)) => {
                here += 1;
                format!("{name}: whole, in {}", located.source)
            }
            Ok(Status::Missing { why, fetch }) => {
                let fetch = match fetch {
                    Some(from) => format!("would be fetched from {from}"),
                    None if lookup.data_dir_is_flag => {
                        "leave --data out to look elsewhere".to_owned()
                    }
                    None => "no registry and no official address has it".to_owned(),
                };
                format!("{name}: missing ({why}); {fetch}")
            }
            Err(error) => {
                damaged += 1;
                format!("{name}: {error}")
            }
        };
        super::print(&(line + "\n"))?;
    }
    if damaged > 0 || (here < names.len() && !args.sets.is_empty()) || here == 0 {
        bail!("{here} of {} data sets are here and whole", names.len());
    }
    Ok(())
}

/// From where a set would be fetched, in words.
pub(super) fn source_of(set: &DataSet) -> String {
    where_from(set).unwrap_or_else(|| "your own copy or a mirror folder only".to_owned())
}
