//! The protocols of gateways: FastCGI, uwsgi and SCGI, as a node speaks them that nginx asks by `fastcgi_pass`, `uwsgi_pass`
//! or `scgi_pass`. In all three a request is variables and a body, and an answer what a CGI program prints.

use std::io::{self, BufRead, Read, Write};

/// A protocol of gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Records of a type and a length, by the FastCGI specification 1.0.
    FastCgi,
    /// One packet of variables, whose lengths come before them, then the body.
    Uwsgi,
    /// One netstring of variables, each ended by a NUL, then the body.
    Scgi,
}

/// A request.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The path with its arguments.
    pub uri: String,
    /// Whether the connection stays after the answer.
    pub stays: bool,
    /// FastCGI's number of it.
    id: u16,
}

/// What the types of records are called in the specification.
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
/// A flag of BEGIN_REQUEST.
const KEEP_CONN: u8 = 1;

/// Name and value of each variable.
type Variables = Vec<(Vec<u8>, Vec<u8>)>;

impl Protocol {
    /// The protocol of a request that begins with this byte: the version, the kind of packet, or a digit.
    pub fn of(first: u8) -> Option<Protocol> {
        match first {
            1 => Some(Protocol::FastCgi),
            0 => Some(Protocol::Uwsgi),
            b'0'..=b'9' => Some(Protocol::Scgi),
            _ => None,
        }
    }

    /// Reads a request with its body; None at the end of the connection.
    pub fn read(self, from: &mut impl BufRead) -> io::Result<Option<Request>> {
        if from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        if self == Protocol::FastCgi {
            return read_records(from).map(Some);
        }
        let variables = if self == Protocol::Uwsgi { read_packet(from) } else { read_netstring(from) }?;
        let length = value(&variables, "CONTENT_LENGTH").parse().unwrap_or(0);
        io::copy(&mut from.take(length), &mut io::sink())?;
        Ok(Some(Request { uri: value(&variables, "REQUEST_URI"), ..Request::default() }))
    }

    /// Sends a piece of the answer.
    pub fn write(self, to: &mut impl Write, request: &Request, piece: &[u8]) -> io::Result<()> {
        match self {
            Protocol::FastCgi => write_record(to, STDOUT, request.id, piece),
            Protocol::Uwsgi | Protocol::Scgi => to.write_all(piece),
        }
    }

    /// Sends what comes after the last piece; where that is nothing the end of the connection is that of the answer.
    pub fn end(self, to: &mut impl Write, request: &Request) -> io::Result<()> {
        match self {
            // An exit status of 0, and that the request is complete.
            Protocol::FastCgi => write_record(to, END_REQUEST, request.id, &[0; 8]),
            Protocol::Uwsgi | Protocol::Scgi => Ok(()),
        }
    }
}

fn value(variables: &Variables, name: &str) -> String {
    let found = variables.iter().find(|(key, _)| key == name.as_bytes());
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn read_records(from: &mut impl Read) -> io::Result<Request> {
    let (mut request, mut params) = (Request::default(), Vec::new());
    loop {
        let [version, kind] = array(from)?;
        let [id, length] = [array(from)?, array(from)?].map(u16::from_be_bytes);
        let [padding, _reserved] = array(from)?;
        let content = bytes(from, length.into())?;
        bytes(from, padding.into())?;
        match (version, kind) {
            (1, BEGIN_REQUEST) => {
                request.id = id;
                request.stays = content.get(2).is_some_and(|flags| flags & KEEP_CONN != 0);
            }
            (1, PARAMS) => params.extend(content),
            // The body ends with an empty record.
            (1, STDIN) if content.is_empty() => break,
            (1, STDIN) => {}
            record => return Err(io::Error::other(format!("a record of version and type {record:?}"))),
        }
    }
    let (mut rest, mut variables) = (params.as_slice(), Variables::new());
    while !rest.is_empty() {
        let [name, value] = [record_length(&mut rest)?, record_length(&mut rest)?];
        variables.push((bytes(&mut rest, name)?, bytes(&mut rest, value)?));
    }
    request.uri = value(&variables, "REQUEST_URI");
    Ok(request)
}

/// The length of a name or value: one byte, or four of which the first bit says so.
fn record_length(from: &mut impl Read) -> io::Result<usize> {
    let [first] = array(from)?;
    if first < 0x80 {
        return Ok(first.into());
    }
    let [b, c, d] = array(from)?;
    Ok(u32::from_be_bytes([first & 0x7f, b, c, d]) as usize)
}

fn write_record(to: &mut impl Write, kind: u8, id: u16, content: &[u8]) -> io::Result<()> {
    let length = u16::try_from(content.len()).map_err(io::Error::other)?;
    let [id, length] = [id, length].map(u16::to_be_bytes);
    to.write_all(&[&[1, kind], &id[..], &length[..], &[0, 0], content].concat())
}

fn read_packet(from: &mut impl Read) -> io::Result<Variables> {
    let [_kind, length @ .., _modifier] = array::<4>(from)?;
    let packet = bytes(from, u16::from_le_bytes(length).into())?;
    let (mut rest, mut variables) = (packet.as_slice(), Variables::new());
    let sized = |rest: &mut &[u8]| {
        let length = u16::from_le_bytes(array(rest)?);
        bytes(rest, length.into())
    };
    while !rest.is_empty() {
        variables.push((sized(&mut rest)?, sized(&mut rest)?));
    }
    Ok(variables)
}

fn read_netstring(from: &mut impl BufRead) -> io::Result<Variables> {
    let mut length = Vec::new();
    from.read_until(b':', &mut length)?;
    let length = String::from_utf8_lossy(&length).trim_end_matches(':').parse().map_err(io::Error::other)?;
    let netstring = bytes(from, length)?;
    let [comma] = array(from)?;
    if comma != b',' {
        return Err(io::Error::other(format!("a netstring that ends in {comma}")));
    }
    let texts: Vec<_> = netstring.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    Ok(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut read = [0; N];
    from.read_exact(&mut read)?;
    Ok(read)
}

fn bytes(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut read = vec![0; length];
    from.read_exact(&mut read)?;
    Ok(read)
}
