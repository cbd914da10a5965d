//! The languages of the waiting page, and the choice among them. Pure.

/// How many entries of `Accept-Language` are looked at. Browsers send up to a dozen;
/// more is somebody playing, and must not cost more.
const MAX_ENTRIES: usize = 16;

/// A language the waiting page speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English, also when nothing better is asked for.
    En,
    /// Korean.
    Ko,
    /// Japanese.
    Ja,
    /// Chinese in simplified characters.
    ZhHans,
    /// Chinese in traditional characters.
    ZhHant,
}

impl Lang {
    /// Every language, in the order that pages are kept in.
    pub const ALL: [Self; 5] = [Self::En, Self::Ko, Self::Ja, Self::ZhHans, Self::ZhHant];

    /// The BCP 47 tag, as it stands in `lang="…"` and `Content-Language`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
            Self::Ja => "ja",
            Self::ZhHans => "zh-Hans",
            Self::ZhHant => "zh-Hant",
        }
    }

    /// The language a visitor likes best among ours, English when there is none.
    ///
    /// Order is by `q`, then by place in the header (RFC 9110, 12.5.4). What can't be parsed is skipped.
    #[must_use]
    pub fn from_accept_language(header: &str) -> Self {
        let mut best = (0, Self::En);
        for entry in header.split(',').take(MAX_ENTRIES) {
            let Some((lang, weight)) = parse_entry(entry) else { continue };
            if weight > best.0 {
                best = (weight, lang);
            }
        }
        best.1
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    fn from_tag(tag: &str) -> Option<Self> {
        let mut subtags = tag.split('-');
        match subtags.next()?.to_ascii_lowercase().as_str() {
            "en" | "*" => Some(Self::En),
            "ko" => Some(Self::Ko),
            "ja" => Some(Self::Ja),
            "zh" => Some(chinese(subtags)),
            "yue" => Some(Self::ZhHant),
            "cmn" => Some(Self::ZhHans),
            _ => None,
        }
    }
}

/// The script decides; without one, the region does.
fn chinese<'a>(subtags: impl Iterator<Item = &'a str>) -> Lang {
    for subtag in subtags {
        match subtag.to_ascii_lowercase().as_str() {
            "hant" | "tw" | "hk" | "mo" => return Lang::ZhHant,
            "hans" => return Lang::ZhHans,
            _ => {}
        }
    }
    Lang::ZhHans
}

/// `ko-KR;q=0.9` → Korean, 900. `None`: not ours, refused (`q=0`) or malformed.
fn parse_entry(entry: &str) -> Option<(Lang, u16)> {
    let mut parts = entry.split(';');
    let lang = Lang::from_tag(parts.next()?.trim())?;
    let weight = match parts.next() {
        None => 1000,
        Some(parameter) => super::weight_per_mille(parameter)?,
    };
    (weight > 0).then_some((lang, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_weight_wins_then_the_first() {
        for (header, lang) in [
            ("", Lang::En),
            ("ko", Lang::Ko),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Lang::Ko),
            ("en;q=0.5, ja;q=0.9", Lang::Ja),
            ("de-DE, fr;q=0.9, ja;q=0.1", Lang::Ja),
            ("de, fr", Lang::En),
            ("zh-CN,zh;q=0.9", Lang::ZhHans),
            ("zh-TW", Lang::ZhHant),
            ("zh-HK;q=1.0", Lang::ZhHant),
            ("zh-Hans-HK", Lang::ZhHans),
            ("ZH-hant", Lang::ZhHant),
            ("ko;q=0, en;q=0.1", Lang::En),
            ("*, ko;q=0.5", Lang::En),
            ("ko ; q=0.8 , ja ; Q=0.9", Lang::Ja),
        ] {
            assert_eq!(Lang::from_accept_language(header), lang, "{header}");
        }
    }

    #[test]
    fn refused_weights_and_endless_headers() {
        for header in ["ko;q=2", "ko;q=-1", "ko;q=NaN", "ko;q=0.12345", "ko;q=", "ko;x=1", ";;;", ",,,"] {
            assert_eq!(Lang::from_accept_language(header), Lang::En, "{header}");
        }
        let endless = format!("{}ko", "de,".repeat(100_000));
        assert_eq!(Lang::from_accept_language(&endless), Lang::En);
    }

    #[test]
    fn index_is_the_place_in_all() {
        for (index, lang) in Lang::ALL.into_iter().enumerate() {
            assert_eq!(lang.index(), index);
        }
    }
}
