//! Dialogues of a human and an assistant, as Anthropic's hh-rlhf writes them: turns begin with `Human:` or
//! `Assistant:` after an empty line.

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who asks.
    Human,
    /// The one who answers.
    Assistant,
}

impl Role {
    const ALL: [Self; 2] = [Self::Human, Self::Assistant];

    /// As it stands before a turn.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "Human",
            Self::Assistant => "Assistant",
        }
    }
}

/// What someone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who.
    pub role: Role,
    /// What.
    pub text: String,
}

/// The turns of a dialogue; else what stands where a role should, e.g. `Robot`.
///
/// # Errors
/// A beginning that names no role, or an unknown one.
pub fn turns(text: &str) -> Result<Vec<Turn>, String> {
    let mut turns: Vec<Turn> = Vec::new();
    for paragraph in text.trim_start().split("\n\n") {
        let known = Role::ALL.iter().find_map(|role| {
            let rest = paragraph.strip_prefix(role.name())?.strip_prefix(':')?;
            Some(Turn { role: *role, text: rest.trim().to_owned() })
        });
        match (known, turns.last_mut()) {
            (Some(turn), _) => turns.push(turn),
            // A turn may have paragraphs of its own.
            (None, Some(turn)) => {
                turn.text += "\n";
                turn.text += paragraph.trim();
            }
            (None, None) => {
                let end = paragraph.find(':').unwrap_or(paragraph.len().min(20));
                return Err(paragraph.chars().take(end.min(40)).collect());
            }
        }
    }
    Ok(turns)
}

/// A prompt as a model reads it: the turns before the answer, a line each, and whose turn it is.
pub fn prompt(turns: &[Turn]) -> String {
    let mut text = String::new();
    for Turn { role, text: said } in turns {
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        text.extend([role.name(), ": ", &line, "\n"]);
    }
    text + "Assistant:"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_told_by_their_roles_and_may_have_paragraphs() {
        let text = "\n\nHuman: hello\n\nAssistant: Hi.\n\nNote: two paragraphs.\n\nHuman: bye";
        let found = turns(text).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].text, "Hi.\nNote: two paragraphs.");
        let prompt = prompt(&found);
        assert_eq!(
            prompt,
            "Human: hello\nAssistant: Hi. Note: two paragraphs.\nHuman: bye\nAssistant:"
        );
    }

    #[test]
    fn an_unknown_role_is_named() {
        assert_eq!(turns("\n\nRobot: beep").unwrap_err(), "Robot");
        assert_eq!(turns("no role at all").unwrap_err(), "no role at all");
    }
}
