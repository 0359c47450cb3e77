//! A reader of the kernel's type information (BTF), as far as finding the byte offset of a field.
//! Pure: bytes in, offsets out; hostile bytes give an error or `None`, never a panic. Reading the
//! file is `load`'s, choosing the fields `offsets`'.
//!
//! Format: <https://docs.kernel.org/bpf/btf.html>.

/// The bytes are not BTF as this reader knows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    #[error("BTF ends at byte {len}, inside {what}")]
    Truncated { what: &'static str, len: usize },
    #[error("BTF magic is {found:#06x}, not 0xeb9f in this machine's byte order")]
    BadMagic { found: u16 },
    #[error("BTF type {id} has kind {kind}, which is not known here")]
    UnknownKind { id: usize, kind: u32 },
}

/// Parsed BTF: an index over borrowed bytes.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where the record of type `i + 1` begins in `types`.
    starts: Vec<u32>,
}

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
/// Anonymous structs and chains of typedefs nest a few levels deep in real kernels.
const MAX_NESTING: usize = 16;

impl<'a> Btf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Btf<'a>, BtfError> {
        let truncated = |what| BtfError::Truncated { what, len: bytes.len() };
        let magic = bytes.first_chunk::<2>().ok_or_else(|| truncated("the header"))?;
        let magic = u16::from_ne_bytes(*magic);
        if magic != MAGIC {
            return Err(BtfError::BadMagic { found: magic });
        }
        let field = |at| word(bytes, at).map(|w| w as usize).ok_or_else(|| truncated("the header"));
        let header_len = field(4)?;
        let section = |offset: usize, len: usize, what| {
            let start = header_len.checked_add(offset).ok_or_else(|| truncated(what))?;
            let end = start.checked_add(len).ok_or_else(|| truncated(what))?;
            bytes.get(start..end).ok_or_else(|| truncated(what))
        };
        let types = section(field(8)?, field(12)?, "the type section")?;
        let strings = section(field(16)?, field(20)?, "the string section")?;
        Ok(Btf { types, strings, starts: index(types)? })
    }

    /// Byte offset of a field, for a path like `task_struct.se.cfs_rq`. Members of anonymous
    /// structs and unions are found under their outer type. `None` when there is no such field,
    /// or it is a bit field, or a step of the path is not a struct held by value.
    pub(crate) fn offset_of(&self, path: &str) -> Option<u32> {
        let mut steps = path.split('.');
        let mut ty = self.find(KIND_STRUCT, steps.next()?)?;
        let mut offset_bits = 0_u32;
        for field in steps {
            let (member_type, bits) = self.member(ty, field, MAX_NESTING)?;
            offset_bits = offset_bits.checked_add(bits)?;
            ty = member_type;
        }
        offset_bits.is_multiple_of(8).then_some(offset_bits / 8)
    }

    /// Whether the kernel offers this tracepoint to BTF-typed programs.
    pub(crate) fn has_tracepoint(&self, name: &str) -> bool {
        self.find(KIND_TYPEDEF, &format!("btf_trace_{name}")).is_some()
    }

    fn find(&self, kind: u32, name: &str) -> Option<Record<'a>> {
        let records = (1..=self.starts.len() as u32).filter_map(|id| self.record(id));
        records.filter(|record| record.kind == kind).find(|record| self.is_named(record.name, name))
    }

    fn member(&self, ty: Record<'a>, name: &str, depth: usize) -> Option<(Record<'a>, u32)> {
        let depth = depth.checked_sub(1)?;
        let ty = self.resolve(ty)?;
        if ty.kind != KIND_STRUCT && ty.kind != KIND_UNION {
            return None;
        }
        for at in (0..ty.n_members).map(|idx| ty.tail + idx * 12) {
            let (member_name, type_id) = (word(self.types, at)?, word(self.types, at + 4)?);
            let raw = word(self.types, at + 8)?;
            let (bits, width) = if ty.kind_flag { (raw & 0xff_ffff, raw >> 24) } else { (raw, 0) };
            if self.is_named(member_name, name) {
                return (width == 0).then_some((self.record(type_id)?, bits));
            }
            if member_name == 0
                && let Some(inner) = self.record(type_id)
                && let Some((found, inner_bits)) = self.member(inner, name, depth)
            {
                return Some((found, bits.checked_add(inner_bits)?));
            }
        }
        None
    }

    /// Strips typedefs and qualifiers.
    fn resolve(&self, ty: Record<'a>) -> Option<Record<'a>> {
        let mut ty = ty;
        for _ in 0..MAX_NESTING {
            // typedef, volatile, const, restrict, type tag
            if !matches!(ty.kind, KIND_TYPEDEF | 9 | 10 | 11 | 18) {
                return Some(ty);
            }
            ty = self.record(ty.size_or_type)?;
        }
        None
    }

    fn record(&self, id: u32) -> Option<Record<'a>> {
        let start = *self.starts.get((id as usize).checked_sub(1)?)? as usize;
        Record::at(self.types, start)
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let Some(rest) = self.strings.get(offset as usize..) else { return false };
        rest.strip_prefix(name.as_bytes()).is_some_and(|tail| tail.first() == Some(&0))
    }
}

/// One type record; the section's bytes hold its members from `tail` on.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    name: u32,
    kind: u32,
    kind_flag: bool,
    n_members: usize,
    size_or_type: u32,
    tail: usize,
    _types: std::marker::PhantomData<&'a [u8]>,
}

impl Record<'_> {
    fn at(types: &[u8], start: usize) -> Option<Self> {
        let info = word(types, start + 4)?;
        Some(Record {
            name: word(types, start)?,
            kind: info >> 24 & 0x1f,
            kind_flag: info >> 31 != 0,
            n_members: (info & 0xffff) as usize,
            size_or_type: word(types, start + 8)?,
            tail: start + 12,
            _types: std::marker::PhantomData,
        })
    }

    /// Bytes after the common part; `None` for an unknown kind.
    fn tail_len(&self) -> Option<usize> {
        Some(match self.kind {
            // int, var, decl tag
            1 | 14 | 17 => 4,
            // pointer, forward, typedef, qualifiers, function, float, type tag
            2 | 7..=12 | 16 | 18 => 0,
            3 => 12,
            // struct, union, datasec, enum64
            4 | 5 | 15 | 19 => self.n_members * 12,
            // enum, function prototype
            6 | 13 => self.n_members * 8,
            _ => return None,
        })
    }
}

fn index(types: &[u8]) -> Result<Vec<u32>, BtfError> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at < types.len() {
        let truncated = BtfError::Truncated { what: "a type", len: types.len() };
        let record = Record::at(types, at).ok_or_else(|| truncated.clone())?;
        let tail_len = record
            .tail_len()
            .ok_or(BtfError::UnknownKind { id: starts.len() + 1, kind: record.kind })?;
        starts.push(u32::try_from(at).map_err(|_too_far| truncated.clone())?);
        at = record.tail + tail_len;
        if at > types.len() {
            return Err(truncated);
        }
    }
    Ok(starts)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests;
