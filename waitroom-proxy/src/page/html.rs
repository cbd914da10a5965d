//! A small reader of HTML: enough to know where in a template something stands. Pure.
//!
//! It is not a browser's parser and guards nothing: the Content-Security-Policy does that. It is there
//! to tell an operator before the start what the browser would refuse later.

/// A piece of a template, in order of appearance.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'s> {
    Text(&'s str, usize),
    Comment(usize, usize),
    Tag(Tag<'s>),
    /// What stands inside `<script>`, `<style>`, `<title>` or `<textarea>`: never tags.
    Raw {
        element: Tag<'s>,
        text: &'s str,
        at: usize,
    },
}

/// A tag that opens or closes an element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag<'s> {
    /// In lower case.
    pub(super) name: String,
    pub(super) closing: bool,
    pub(super) attributes: Vec<Attribute<'s>>,
    /// Byte offset of `<`, and of what follows `>`.
    pub(super) at: usize,
    pub(super) end: usize,
}

impl Tag<'_> {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value)
    }
}

/// An attribute; without a value it is empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute<'s> {
    /// In lower case.
    pub(super) name: String,
    pub(super) value: &'s str,
    /// Byte offset of the value.
    pub(super) at: usize,
}

/// Something that was opened and never closed.
#[derive(Debug, PartialEq)]
pub(super) struct Unclosed {
    pub(super) what: String,
    pub(super) at: usize,
}

/// Reads all of `source`; stops at the first thing that never ends.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, Unclosed> {
    let mut reader = Reader { source, at: 0 };
    let mut tokens = Vec::new();
    while reader.at < source.len() {
        reader.next(&mut tokens)?;
    }
    Ok(tokens)
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Reader<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn next(&mut self, tokens: &mut Vec<Token<'s>>) -> Result<(), Unclosed> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("<!--") {
            self.skip_past("-->", "comment", start)?;
            tokens.push(Token::Comment(start, self.at));
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            self.skip_past(">", "declaration", start)?;
        } else if opens_tag(rest) {
            let tag = self.tag()?;
            let raw = !tag.closing && matches!(tag.name.as_str(), "script" | "style" | "title" | "textarea");
            tokens.push(Token::Tag(tag.clone()));
            if raw {
                tokens.push(self.raw(tag)?);
            }
        } else {
            // A `<` that opens no tag is text, up to the next one.
            let literal = usize::from(rest.starts_with('<'));
            self.at += rest[literal..].find('<').map_or(rest.len(), |next| next + literal);
            tokens.push(Token::Text(&self.source[start..self.at], start));
        }
        Ok(())
    }

    fn skip_past(&mut self, end: &str, what: &str, at: usize) -> Result<(), Unclosed> {
        let found = self.rest().find(end).ok_or_else(|| Unclosed { what: what.to_owned(), at })?;
        self.at += found + end.len();
        Ok(())
    }

    fn skip_while(&mut self, skip: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let len = rest.find(|letter| !skip(letter)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn tag(&mut self) -> Result<Tag<'s>, Unclosed> {
        let at = self.at;
        self.at += 1;
        let closing = self.rest().starts_with('/');
        self.at += usize::from(closing);
        let name = self.skip_while(|letter| !letter.is_ascii_whitespace() && !matches!(letter, '/' | '>'));
        let name = name.to_ascii_lowercase();
        let unclosed = || Unclosed { what: format!("<{name}> tag"), at };
        let mut attributes = Vec::new();
        loop {
            self.skip_while(|letter| letter.is_ascii_whitespace() || letter == '/');
            match self.rest().chars().next() {
                None => return Err(unclosed()),
                Some('>') => break,
                Some(_) => attributes.push(self.attribute().ok_or_else(unclosed)?),
            }
        }
        self.at += 1;
        Ok(Tag { name, closing, attributes, at, end: self.at })
    }

    /// `None` if a quote never closes.
    fn attribute(&mut self) -> Option<Attribute<'s>> {
        let first = self.at;
        // A leading `=` belongs to the name, or the loop would not move on.
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        self.skip_while(|letter| !letter.is_ascii_whitespace() && !matches!(letter, '/' | '>' | '='));
        let name = self.source[first..self.at].to_ascii_lowercase();
        let after_name = self.at;
        self.skip_while(|letter| letter.is_ascii_whitespace());
        if !self.rest().starts_with('=') {
            self.at = after_name;
            return Some(Attribute { name, value: "", at: after_name });
        }
        self.at += 1;
        self.skip_while(|letter| letter.is_ascii_whitespace());
        let quote = self.rest().chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let Some(quote) = quote else {
            let at = self.at;
            let value = self.skip_while(|letter| !letter.is_ascii_whitespace() && letter != '>');
            return Some(Attribute { name, value, at });
        };
        self.at += 1;
        let at = self.at;
        let len = self.rest().find(quote)?;
        self.at += len + 1;
        Some(Attribute { name, value: &self.source[at..at + len], at })
    }

    fn raw(&mut self, element: Tag<'s>) -> Result<Token<'s>, Unclosed> {
        let at = self.at;
        let end = format!("</{}", element.name);
        let lower = self.rest().to_ascii_lowercase();
        let len =
            lower.find(&end).ok_or_else(|| Unclosed { what: format!("<{}> element", element.name), at: element.at })?;
        self.at += len;
        Ok(Token::Raw { element, text: &self.source[at..at + len], at })
    }
}

fn opens_tag(rest: &str) -> bool {
    let name = rest.strip_prefix("</").or_else(|| rest.strip_prefix('<'));
    name.is_some_and(|name| name.starts_with(|letter: char| letter.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(source: &str) -> Vec<Tag<'_>> {
        let tokens = tokens(source).unwrap();
        tokens.into_iter().filter_map(|token| if let Token::Tag(tag) = token { Some(tag) } else { None }).collect()
    }

    #[test]
    fn attributes_quoted_bare_and_empty() {
        let tags = tags("<A href='x y' Title=plain checked data-n=\"é>\" / ><br/></a >");
        assert_eq!(tags[0].attribute("href"), Some("x y"));
        assert_eq!(tags[0].attribute("title"), Some("plain"));
        assert_eq!(tags[0].attribute("checked"), Some(""));
        assert_eq!(tags[0].attribute("data-n"), Some("é>"));
        assert_eq!((tags[1].name.as_str(), tags[1].closing), ("br", false));
        assert_eq!((tags[2].name.as_str(), tags[2].closing), ("a", true));
    }

    #[test]
    fn scripts_hold_no_tags_and_comments_hide_them() {
        let found = tokens("<script>if (a<b) '<p>'</SCRIPT><!-- <p> -->1 < 2").unwrap();
        assert!(matches!(&found[1], Token::Raw { text: "if (a<b) '<p>'", .. }));
        assert_eq!(found.iter().filter(|token| matches!(token, Token::Tag(_))).count(), 2);
    }

    #[test]
    fn refused_what_never_closes() {
        for (source, what) in [
            ("<p><!-- x", "comment"),
            ("<p><div class='a", "<div> tag"),
            ("<div", "<div> tag"),
            ("<script>x", "<script> element"),
        ] {
            assert_eq!(tokens(source).unwrap_err().what, what);
        }
    }

    proptest! {
        #[test]
        fn any_input_ends(source in "(<|>|=|\"|'|/|!|-|a|script|é| |\\PC){0,80}") {
            let _ = tokens(&source);
        }
    }
}
