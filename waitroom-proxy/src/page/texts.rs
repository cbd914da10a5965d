//! The sentences of the waiting page in each language, read once from the files in `i18n/`. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{lang::Lang, view::View};

/// Everything the page says in one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    /// Sentences that stand in a template as `{{t.name}}`.
    pub(super) page: BTreeMap<String, String>,
    /// Sentences that depend on the status; the page's script gets them too.
    pub(super) live: LiveTexts,
}

/// `{n}`, `{low}`, `{high}`, `{time}`, `{eta}` and `{total}` stand for figures.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveTexts {
    views: Views,
    pub(super) stale: String,
    offline: String,
    connecting: String,
    updated: String,
    announce: String,
    progress: String,
    pub(super) eta: EtaTexts,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Views {
    joining: ViewTexts,
    waiting: ViewTexts,
    near: ViewTexts,
    paused: ViewTexts,
    admitted: ViewTexts,
    left: ViewTexts,
    /// Only the script sees these two: the room is no more; the browser keeps no cookies.
    gone: ViewTexts,
    cookies: ViewTexts,
}

/// What a view says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ViewTexts {
    pub(super) title: String,
    pub(super) heading: String,
    pub(super) message: String,
}

/// Spans of time in words.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EtaTexts {
    pub(super) unknown: String,
    pub(super) moment: String,
    pub(super) minute: String,
    pub(super) minutes: String,
    pub(super) minutes_range: String,
    pub(super) hour: String,
    pub(super) hours: String,
    pub(super) hours_range: String,
    pub(super) day: String,
}

impl Texts {
    pub(super) fn read(lang: Lang) -> Result<Self, serde_json::Error> {
        serde_json::from_str(source(lang))
    }
}

impl LiveTexts {
    pub(super) fn view(&self, view: View) -> &ViewTexts {
        match view {
            View::Joining => &self.views.joining,
            View::Waiting => &self.views.waiting,
            View::Near => &self.views.near,
            View::Paused => &self.views.paused,
            View::Admitted => &self.views.admitted,
            View::Left => &self.views.left,
        }
    }
}

fn source(lang: Lang) -> &'static str {
    match lang {
        Lang::En => include_str!("i18n/en.json"),
        Lang::Ko => include_str!("i18n/ko.json"),
        Lang::Ja => include_str!("i18n/ja.json"),
        Lang::ZhHans => include_str!("i18n/zh-Hans.json"),
        Lang::ZhHant => include_str!("i18n/zh-Hant.json"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn flatten(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&format!("{prefix}.{key}"), value, out)),
            Value::String(text) => {
                out.insert(prefix.to_owned(), text.clone());
            }
            other => panic!("{prefix} is {other}"),
        }
    }

    fn figures(text: &str) -> Vec<&str> {
        let mut figures: Vec<_> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        figures.sort_unstable();
        figures
    }

    #[test]
    fn every_language_says_everything() {
        let all = Lang::ALL.map(|lang| {
            Texts::read(lang).unwrap();
            let mut texts = BTreeMap::new();
            flatten("", &serde_json::from_str(source(lang)).unwrap(), &mut texts);
            (lang, texts)
        });
        let english = &all[0].1;
        for (lang, texts) in &all {
            assert_eq!(texts.keys().collect::<Vec<_>>(), english.keys().collect::<Vec<_>>(), "{lang:?}");
            for (key, text) in texts {
                assert!(!text.trim().is_empty(), "{lang:?} {key}");
                assert_eq!(figures(text), figures(&english[key]), "{lang:?} {key}");
                assert!(!text.contains(['<', '&']), "{lang:?} {key}: texts are not HTML");
            }
        }
    }
}
