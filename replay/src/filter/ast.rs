//! What a filter's text says, before fields are looked up.

use std::ops::Range;

/// A boolean expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// All hold.
    And(Vec<Expr>),
    /// One holds.
    Or(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// A comparison.
    Check(Check),
    /// Name of a macro, and where it stands.
    Macro(String, Range<usize>),
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is compared.
    pub left: Operand,
    /// How.
    pub op: Op,
    /// With how many of a list.
    pub modifier: Option<Modifier>,
    /// With what.
    pub right: Right,
    /// Where the comparison stands, in bytes.
    pub span: Range<usize>,
}

/// What can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// What it is.
    pub kind: OperandKind,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

/// Kinds of [`Operand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperandKind {
    /// `evt.arg[0]`: a field and what stands in brackets behind it.
    Field {
        /// Its name.
        name: String,
        /// Its argument.
        arg: Option<Vec<u8>>,
    },
    /// `len(fd.name)`.
    Call {
        /// Which transformer.
        function: Function,
        /// On what.
        args: Vec<Operand>,
        /// `getopt(..)[t]`.
        selector: Option<Vec<u8>>,
    },
    /// `(a.b, "c")`, inside a call only.
    List(Vec<Operand>),
    /// A string or number, inside a call only.
    Literal(Vec<u8>),
}

/// Transformers (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the language's own
pub enum Function {
    ToLower,
    ToUpper,
    B64,
    Basename,
    Len,
    Join,
    Concat,
    GetOpt,
    Val,
}

impl Function {
    /// Those that may stand on either side, in the order in which they are tried.
    pub const ALL: [Function; 8] = [
        Function::ToLower,
        Function::ToUpper,
        Function::B64,
        Function::Basename,
        Function::Len,
        Function::Join,
        Function::Concat,
        Function::GetOpt,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Function::ToLower => "tolower",
            Function::ToUpper => "toupper",
            Function::B64 => "b64",
            Function::Basename => "basename",
            Function::Len => "len",
            Function::Join => "join",
            Function::Concat => "concat",
            Function::GetOpt => "getopt",
            Function::Val => "val",
        }
    }
}

/// The right side of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// `exists` has none.
    Nothing,
    /// A constant.
    Value(Constant),
    /// Constants in brackets.
    List(Vec<Constant>),
    /// `val(..)` or a transformer.
    Operand(Operand),
}

/// A constant as written, without quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

/// How many elements of a list must compare so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modifier {
    /// Exactly one.
    OneOf,
    /// At least one.
    AnyOf,
    /// Every one.
    AllOf,
}

/// Operators (section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the language's own
pub enum Op {
    Exists,
    Le,
    Lt,
    Ge,
    Gt,
    Eq,
    Ne,
    Glob,
    IGlob,
    Contains,
    IContains,
    BContains,
    StartsWith,
    BStartsWith,
    EndsWith,
    Regex,
    Intersects,
    In,
    PMatch,
}

impl Op {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Op::Exists => "exists",
            Op::Le => "<=",
            Op::Lt => "<",
            Op::Ge => ">=",
            Op::Gt => ">",
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Glob => "glob",
            Op::IGlob => "iglob",
            Op::Contains => "contains",
            Op::IContains => "icontains",
            Op::BContains => "bcontains",
            Op::StartsWith => "startswith",
            Op::BStartsWith => "bstartswith",
            Op::EndsWith => "endswith",
            Op::Regex => "regex",
            Op::Intersects => "intersects",
            Op::In => "in",
            Op::PMatch => "pmatch",
        }
    }
}
