//! The few protocol-buffer fields of an event, encoded and read by hand.
//!
//! `Event`: 1 `wall_time` (double), 2 `step` (int64), 3 `file_version` (string), 5 `summary`.
//! `Summary`: 1 `value`, repeated. `Summary.Value`: 1 `tag` (string), 2 `simple_value` (float).

/// Wire types of protocol buffers.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The event every file begins with.
pub(super) fn file_version(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// One value of one curve.
pub(super) fn scalar(step: u64, wall_time: f64, tag: &str, value: f32) -> Vec<u8> {
    let mut point = Vec::new();
    put_bytes(&mut point, 1, tag.as_bytes());
    put_varint(&mut point, 2 << 3 | FIXED32);
    point.extend_from_slice(&value.to_le_bytes());
    let mut summary = Vec::new();
    put_bytes(&mut summary, 1, &point);
    let mut event = Vec::new();
    put_double(&mut event, 1, wall_time);
    put_varint(&mut event, 2 << 3 | VARINT);
    put_varint(&mut event, step);
    put_bytes(&mut event, 5, &summary);
    event
}

/// The step of an event, 0 where it has none; `None` if the bytes are not a message.
pub(super) fn step(mut event: &[u8]) -> Option<u64> {
    let mut step = 0;
    while !event.is_empty() {
        let key = take_varint(&mut event)?;
        let skip = match key & 7 {
            VARINT => {
                let value = take_varint(&mut event)?;
                if key >> 3 == 2 {
                    step = value;
                }
                0
            }
            FIXED64 => 8,
            FIXED32 => 4,
            BYTES => usize::try_from(take_varint(&mut event)?).ok()?,
            _ => return None,
        };
        event = event.get(skip..)?;
    }
    Some(step)
}

fn put_double(message: &mut Vec<u8>, field: u64, value: f64) {
    put_varint(message, field << 3 | FIXED64);
    message.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | BYTES);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first, the top bit set on all but the last.
fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
