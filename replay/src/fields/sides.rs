//! Fields that are compared with more than one value of an event (`fd.ip`: either end), and so have
//! none to show. The filter knows their values: see `filter::several`.

use super::{Field, Kind, Takes, Traits, field};

const COMPARED: Traits = Traits::FILTER_ONLY.and(Traits::NO_RHS).and(Traits::NO_TRANSFORMER);

const fn compared(name: &'static str, kind: Kind) -> Field {
    field(name, kind, |_, _, _| None).traits(COMPARED)
}

pub(super) const FIELDS: &[Field] = &[
    compared("evt.around", Kind::Uint64).takes(Takes::Time),
    compared("fd.ip", Kind::Ip),
    compared("fd.net", Kind::Net),
    compared("fd.cnet", Kind::Net),
    compared("fd.snet", Kind::Net),
    compared("fd.lnet", Kind::Net),
    compared("fd.rnet", Kind::Net),
    compared("fd.port", Kind::Port),
    compared("fd.proto", Kind::Port),
];
