//! PyTorch's zip format: `<name>/data.pkl`, a pickle that says which tensors there are, and
//! `<name>/data/<key>`, their numbers, little-endian.
//!
//! Source: PyTorch 2.13, `torch/serialization.py`, `_save`.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read as _};
use std::path::Path;

use tch::{Kind, Tensor};
use zip::ZipArchive;

use super::WeightsError;
use crate::data::pickle::{Element, Pickle, StoredTensor};

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// All tensors of the file at `path`, whose content is `bytes`.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let wrong = |place: &str, found: String, wanted: &str| WeightsError::Malformed {
        path: path.to_owned(),
        place: place.to_owned(),
        found,
        wanted: wanted.to_owned(),
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|e| wrong("zip archive", e.to_string(), "a whole archive"))?;
    let pickles = archive
        .file_names()
        .filter_map(|name| name.ok()?.strip_suffix("/data.pkl").map(str::to_owned));
    let Some(root) = pickles.min_by_key(String::len) else {
        return Err(wrong("zip archive", "no data.pkl".into(), "what torch.save writes"));
    };
    if archive.index_for_name(&format!("{root}/constants.pkl")).is_some() {
        return Err(WeightsError::Script { path: path.to_owned() });
    }
    if let Some(order) = member(path, &mut archive, &format!("{root}/byteorder"))?
        && order != b"little"
    {
        let found = String::from_utf8_lossy(&order).into_owned();
        return Err(wrong("byteorder", found, "little"));
    }
    let place = format!("{root}/data.pkl");
    let text = member(path, &mut archive, &place)?.expect("it was found by name");
    let pickle = Pickle::parse(&text)
        .map_err(|source| WeightsError::Pickle { path: path.to_owned(), source })?;
    let wanted = "a dictionary of tensors by name; save model.state_dict()";
    let Some(entries) = pickle.entries() else {
        return Err(wrong(&place, "something else".into(), wanted));
    };
    let mut storages: HashMap<&str, Tensor> = HashMap::new();
    let mut tensors = BTreeMap::new();
    for (name, id) in entries {
        let place = format!("entry {name}");
        let Some(stored) = pickle.tensor(id) else {
            return Err(wrong(&place, pickle.what(id).into(), wanted));
        };
        if !stored.fits() {
            let StoredTensor { len, offset, shape, strides, .. } = stored;
            let found = format!("shape {shape:?}, strides {strides:?} from {offset} on");
            return Err(wrong(&place, found, &format!("places among the {len} numbers stored")));
        }
        // Tensors may share a storage.
        let numbers = match storages.get(stored.storage) {
            Some(known) => known.shallow_clone(),
            None => storage(path, &mut archive, &root, &stored)?,
        };
        let kind = kind(stored.element);
        if numbers.kind() != kind || numbers.numel() != stored.len {
            let found = format!("{} of {:?}", numbers.numel(), numbers.kind());
            return Err(wrong(&place, found, &format!("{} of {kind:?}", stored.len)));
        }
        let sizes = |dims: &[usize]| dims.iter().map(|&n| n as i64).collect::<Vec<_>>();
        let (shape, strides) = (sizes(stored.shape), sizes(stored.strides));
        let view = numbers.f_as_strided(&shape, &strides, stored.offset as i64)?;
        tensors.insert(name.to_owned(), view.f_contiguous()?);
        storages.insert(stored.storage, numbers);
    }
    Ok(tensors)
}

/// The numbers of a storage, `[len]`.
fn storage(
    path: &Path,
    archive: &mut Archive<'_>,
    root: &str,
    stored: &StoredTensor<'_>,
) -> Result<Tensor, WeightsError> {
    let place = format!("{root}/data/{}", stored.storage);
    let kind = kind(stored.element);
    let wrong = |found: String| WeightsError::Malformed {
        path: path.to_owned(),
        place: place.clone(),
        found,
        wanted: format!("{} numbers of {} bytes", stored.len, kind.elt_size_in_bytes()),
    };
    let bytes = member(path, archive, &place)?
        .ok_or_else(|| wrong("no such file in the archive".into()))?;
    if stored.len.checked_mul(kind.elt_size_in_bytes()) != Some(bytes.len()) {
        return Err(wrong(format!("{} bytes", bytes.len())));
    }
    Ok(Tensor::f_from_data_size(&bytes, &[stored.len as i64], kind)?)
}

/// A file of the archive; `None` where there is none of this name.
fn member(
    path: &Path,
    archive: &mut Archive<'_>,
    name: &str,
) -> Result<Option<Vec<u8>>, WeightsError> {
    let Some(index) = archive.index_for_name(name) else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = archive
        .by_index(index)
        .map_err(|e| e.to_string())
        .and_then(|mut file| file.read_to_end(&mut bytes).map_err(|e| e.to_string()));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(found) => Err(WeightsError::Malformed {
            path: path.to_owned(),
            place: name.to_owned(),
            found,
            wanted: "a whole file".into(),
        }),
    }
}

fn kind(element: Element) -> Kind {
    match element {
        Element::F64 => Kind::Double,
        Element::F32 => Kind::Float,
        Element::F16 => Kind::Half,
        Element::BF16 => Kind::BFloat16,
        Element::I64 => Kind::Int64,
        Element::I32 => Kind::Int,
        Element::I16 => Kind::Int16,
        Element::I8 => Kind::Int8,
        Element::U8 => Kind::Uint8,
        Element::Bool => Kind::Bool,
    }
}
