//! The reader of a request's body, by the body's type.

use super::{Form, Name, Scanner};

/// A reader that finds the model that a body names: in a form, or in a JSON object whatever the body's type is called, since
/// many clients send JSON under none.
#[expect(
    clippy::large_enum_variant,
    reason = "a reader lives on the stack for one body; a box would allocate"
)]
#[derive(Debug)]
pub enum Body {
    /// The body is JSON, if anything.
    Json(Scanner),
    /// The body is a form.
    Form(Form),
}

impl Body {
    /// A reader of a body with this Content-Type, empty for a body without one.
    pub fn of(content_type: &[u8]) -> Body {
        Form::of(content_type).map_or_else(|| Body::Json(Scanner::new()), Body::Form)
    }

    /// Reads the next piece of the body; false if no more is of use.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        match self {
            Body::Json(scanner) => scanner.feed(piece),
            Body::Form(form) => form.feed(piece),
        }
    }

    /// The model that the body named, once the body has ended; None if it named none.
    pub fn finish(self) -> Option<Name> {
        match self {
            Body::Json(scanner) => scanner.finish(),
            Body::Form(form) => form.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_tells_a_form_from_json() {
        let find = |kind: &str, body: &str| {
            let mut reader = Body::of(kind.as_bytes());
            reader.feed(body.as_bytes());
            reader.finish().map(|name| name.to_string())
        };
        let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n--b--\r\n";
        assert_eq!(find("multipart/form-data; boundary=b", form).as_deref(), Some("a"));
        assert_eq!(find("application/json", form), None);
        for kind in ["application/json", "", "text/plain"] {
            assert_eq!(find(kind, "{\"model\":\"a\"}").as_deref(), Some("a"));
        }
    }
}
