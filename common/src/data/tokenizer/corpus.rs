//! Encoding all documents of a corpus into a token file.

use std::path::Path;

use rayon::prelude::*;

use super::error::TokenizerError;
use super::splitter::Splitter;
use super::token_file::{Origin, TokenFile, Writer};
use super::{PIECE_BYTES, Tokenizer};
use crate::data::error::DataError;
use crate::data::verify::sha256_text;
use crate::interrupt;

/// So much text is in memory at once (or one document, if that is longer).
const BATCH_BYTES: usize = 16 << 20;

/// A text by itself, such as a book: no training example reaches from one into the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is called in the token file, such as its path below the corpus.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl Tokenizer {
    /// The tokens of `documents`, in order: from the file `path` if it is there, otherwise encoded, in
    /// parallel, and kept there. The tokens are the same for any number of threads.
    ///
    /// `source` identifies the documents, such as names and sums of the files that they come from: a file
    /// with tokens of another source is refused. When the file is there, no document is read.
    ///
    /// # Errors
    /// A file that is damaged, or made by another tokeniser or from another source; a document that
    /// cannot be read or has no text; Ctrl-C, after which nothing is left on disk.
    pub fn encode_corpus(
        &self,
        source: &str,
        documents: impl IntoIterator<Item = Result<Document, DataError>>,
        path: &Path,
    ) -> Result<TokenFile, TokenizerError> {
        let origin = Origin::new(self.mode(), self.digest(), sha256_text(source));
        if path.exists() {
            return TokenFile::open_of(path, &origin);
        }
        let mut writer = Writer::create(path, origin, self.vocab_size(), self.unknown())?;
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for document in documents {
            interrupt::check()?;
            let document = document?;
            batch_bytes += document.text.len();
            batch.push(document);
            if batch_bytes >= BATCH_BYTES {
                self.encode_batch(std::mem::take(&mut batch), &mut writer)?;
                batch_bytes = 0;
            }
        }
        self.encode_batch(batch, &mut writer)?;
        let file = writer.finish()?;
        let (n_documents, n) = (file.documents().len(), file.len());
        tracing::info!("{}: {n_documents} documents, {n} tokens", path.display());
        if file.n_unknown() > 0 {
            let n_unknown = file.n_unknown();
            tracing::warn!("{n_unknown} characters of the corpus are not in the vocabulary");
        }
        Ok(file)
    }

    fn encode_batch(
        &self,
        documents: Vec<Document>,
        writer: &mut Writer,
    ) -> Result<(), TokenizerError> {
        let pieces: Vec<_> = documents
            .iter()
            .enumerate()
            .flat_map(|(i, document)| {
                Splitter::pieces(&document.text, PIECE_BYTES).into_iter().map(move |p| (i, p))
            })
            .collect();
        let encoded: Vec<_> = pieces
            .par_iter()
            .map(|&(i, piece)| interrupt::check().map(|()| (i, self.encode_piece(piece))))
            .collect::<Result<_, _>>()?;
        let mut ids = vec![Vec::new(); documents.len()];
        for (i, piece) in encoded {
            self.append(&piece, &mut ids[i]);
        }
        for (document, ids) in documents.into_iter().zip(ids) {
            if ids.is_empty() {
                return Err(TokenizerError::EmptyDocument { name: document.name });
            }
            writer.document(document.name, &ids)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Mode, sample};
    use super::*;

    fn encode(
        tokenizer: &Tokenizer,
        source: &str,
        path: &Path,
    ) -> Result<TokenFile, TokenizerError> {
        tokenizer.encode_corpus(source, sample::documents().into_iter().map(Ok), path)
    }

    /// Names of what lies in a folder.
    fn listing(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_holds_what_encode_gives_for_each_document() {
        for mode in [Mode::OpenAi, Mode::Hf] {
            let folder = tempfile::tempdir().unwrap();
            let tokenizer = sample::tokenizer(mode);
            let file = encode(tokenizer, "sample", &folder.path().join("a/tokens.bin")).unwrap();
            assert_eq!((file.mode(), file.vocab_digest()), (mode, &*tokenizer.digest()));
            assert_eq!(file.documents().len(), sample::documents().len());
            let mut end = 0;
            for (document, at) in sample::documents().into_iter().zip(file.documents()) {
                let ids: Vec<u32> = file.tokens(at.tokens.clone()).collect();
                assert_eq!((&at.name, at.tokens.start), (&document.name, end));
                assert_eq!(ids, tokenizer.encode(&document.text));
                end = at.tokens.end;
            }
            assert_eq!(file.len(), end);
            let n_unknown = file.tokens(0..end).filter(|&id| id == tokenizer.unknown()).count();
            assert_eq!(file.n_unknown(), n_unknown as u64);
            assert_eq!(listing(&folder.path().join("a")), ["tokens.bin"]);
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = [1, 2, 7].map(|threads| {
            let path = folder.path().join(threads.to_string());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encode(sample::tokenizer(Mode::OpenAi), "sample", &path)).unwrap();
            fs::read(path).unwrap()
        });
        assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2]);
    }

    #[test]
    fn a_second_call_reads_the_file_and_no_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.bin");
        let tokenizer = sample::tokenizer(Mode::OpenAi);
        let n = encode(tokenizer, "sample", &path).unwrap().len();
        let none = std::iter::from_fn(|| panic!("a document was read"));
        assert_eq!(tokenizer.encode_corpus("sample", none, &path).unwrap().len(), n);
    }

    #[test]
    fn tokens_of_another_source_mode_or_vocabulary_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.bin");
        encode(sample::tokenizer(Mode::OpenAi), "sample", &path).unwrap();
        let small =
            Tokenizer::train(Mode::OpenAi, sample::documents().into_iter().map(Ok), 900).unwrap();
        for (tokenizer, source, what) in [
            (sample::tokenizer(Mode::OpenAi), "other", "source"),
            (sample::tokenizer(Mode::Hf), "sample", "mode openai, wanted hf"),
            (&small, "sample", "vocabulary"),
        ] {
            let error = encode(tokenizer, source, &path).unwrap_err().to_string();
            assert!(error.contains(&format!("found tokens of {what}")), "{error}");
        }
    }

    #[test]
    fn an_encoding_that_stops_half_way_leaves_nothing_and_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.bin");
        let tokenizer = sample::tokenizer(Mode::OpenAi);
        let broken = || Err(DataError::Catalog("the disk is gone".into()));
        let documents = sample::documents().into_iter().map(Ok).chain(std::iter::once_with(broken));
        let error = tokenizer.encode_corpus("sample", documents, &path).unwrap_err().to_string();
        assert!(error.contains("the disk is gone"), "{error}");
        assert_eq!(listing(folder.path()), Vec::<String>::new());
        encode(tokenizer, "sample", &path).unwrap();
    }

    #[test]
    fn an_empty_book_is_named_and_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let blank = Document { name: "novels/blank.md".into(), text: "\n \n".into() };
        let documents = sample::documents().into_iter().chain([blank]).map(Ok);
        let error = sample::tokenizer(Mode::Hf)
            .encode_corpus("sample", documents, &folder.path().join("tokens.bin"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("novels/blank.md: found no text"), "{error}");
        assert_eq!(listing(folder.path()), Vec::<String>::new());
    }
}
