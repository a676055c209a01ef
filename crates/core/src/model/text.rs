//! The texts in JSON that matter: names with their escapes, and numbers and literals. Source: RFC 8259.

/// Whether the inside of a JSON string is this text, once its escapes are read.
pub(super) fn is(escaped: &[u8], text: &[u8]) -> bool {
    let mut buffer = [0; 16];
    escaped == text || unescape(escaped, &mut buffer) == Some(text)
}

/// Reads the escapes of the inside of a JSON string; None if it is none, or does not fit into the buffer.
pub(super) fn unescape<'a>(escaped: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let (mut rest, mut length) = (escaped, 0);
    while let Some((&byte, after)) = rest.split_first() {
        let mut encoded = [0; 4];
        let (bytes, after) = match byte {
            0..0x20 => return None,
            b'\\' => {
                let (character, after) = escape(after)?;
                (character.encode_utf8(&mut encoded).as_bytes(), after)
            }
            _ => (rest.get(..1)?, after),
        };
        buffer.get_mut(length..length + bytes.len())?.copy_from_slice(bytes);
        length += bytes.len();
        rest = after;
    }
    let text = buffer.get(..length)?;
    std::str::from_utf8(text).is_ok().then_some(text)
}

/// Reads what follows a backslash, and gives what follows that.
fn escape(text: &[u8]) -> Option<(char, &[u8])> {
    let (&byte, rest) = text.split_first()?;
    let character = match byte {
        b'"' | b'\\' | b'/' => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return code_point(rest),
        _ => return None,
    };
    Some((character, rest))
}

/// Reads the digits of `\u`, and a second such escape where the first is a half of a pair.
fn code_point(text: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = code_unit(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, rest));
    }
    let (second, rest) = code_unit(rest.strip_prefix(b"\\u")?)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    Some((char::decode_utf16(units).next()?.ok()?, rest))
}

/// Reads four hexadecimal digits.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))?;
    Some((unit, rest))
}

/// Whether this is a number, `true`, `false` or `null`.
pub(super) fn is_scalar(text: &[u8]) -> bool {
    matches!(text, b"true" | b"false" | b"null") || is_number(text)
}

fn is_number(text: &[u8]) -> bool {
    let after_digits = |text| -> Option<&[u8]> {
        let digits = <[u8]>::iter(text).take_while(|byte| byte.is_ascii_digit()).count();
        text.get(digits..).filter(|_| digits > 0)
    };
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let rest = match text.strip_prefix(b"0") {
        Some(rest) => Some(rest),
        None => after_digits(text),
    };
    let rest = rest.and_then(|rest| match rest.strip_prefix(b".") {
        Some(fraction) => after_digits(fraction),
        None => Some(rest),
    });
    let rest = rest.and_then(|rest| match rest {
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => after_digits(exponent),
        _ => Some(rest),
    });
    rest.is_some_and(<[u8]>::is_empty)
}
