//! Types of fields, and what may be done with a field.

/// Type of a field's value: it decides which operators and constants the filter language allows
/// (filter-language sections 3 and 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A number.
    Int8,
    /// A number.
    Int16,
    /// A number.
    Int32,
    /// A number.
    Int64,
    /// A number.
    Uint8,
    /// A number.
    Uint16,
    /// A number.
    Uint32,
    /// A number.
    Uint64,
    /// True or false.
    Bool,
    /// A span of time, ns.
    RelTime,
    /// A time, ns since the epoch.
    AbsTime,
    /// A port number.
    Port,
    /// An IP address.
    Ip,
    /// An IP address that is compared with networks.
    Net,
    /// A floating point number.
    Double,
    /// That of an event's argument, known when the argument is named.
    Argument,
    /// A type of arguments that no operator takes, by its name in the reference.
    Opaque(&'static str),
}

impl Kind {
    /// Its name in the field reference.
    pub fn upstream_name(self) -> &'static str {
        match self {
            Kind::Text => "PT_CHARBUF",
            Kind::Bytes => "PT_BYTEBUF",
            Kind::Int8 => "PT_INT8",
            Kind::Int16 => "PT_INT16",
            Kind::Int32 => "PT_INT32",
            Kind::Int64 => "PT_INT64",
            Kind::Uint8 => "PT_UINT8",
            Kind::Uint16 => "PT_UINT16",
            Kind::Uint32 => "PT_UINT32",
            Kind::Uint64 => "PT_UINT64",
            Kind::Bool => "PT_BOOL",
            Kind::RelTime => "PT_RELTIME",
            Kind::AbsTime => "PT_ABSTIME",
            Kind::Port => "PT_PORT",
            Kind::Ip => "PT_IPADDR",
            Kind::Net => "PT_IPNET",
            Kind::Double => "PT_DOUBLE",
            Kind::Argument => "PT_DYN",
            Kind::Opaque(name) => name,
        }
    }
}

/// What may be done with a field, beside asking for its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits(u8);

impl Traits {
    /// Nothing special.
    pub const NONE: Traits = Traits(0);
    /// Its value is a list.
    pub const LIST: Traits = Traits(1);
    /// It has no value to show, it can only be compared.
    pub const FILTER_ONLY: Traits = Traits(2);
    /// It can only be shown.
    pub const PRINT_ONLY: Traits = Traits(4);
    /// Old captures and old filters have it; today's libs gives constants.
    pub const DEPRECATED: Traits = Traits(8);
    /// It cannot stand on the right of an operator.
    pub const NO_RHS: Traits = Traits(16);
    /// Transformers refuse it.
    pub const NO_TRANSFORMER: Traits = Traits(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Traits) -> Traits {
        Traits(self.0 | other.0)
    }

    /// Whether all of `other` hold.
    pub const fn has(self, other: Traits) -> bool {
        self.0 & other.0 == other.0
    }
}
