// The C ABI of the Rust crate in this folder, and the only thing C++ knows of it.
//
// Calls that can fail return a hocket_text_code and, when it is not HOCKET_TEXT_OK, set *error (if
// `error` is not null) to a NUL-terminated message that the caller frees with
// hocket_text_error_free; outputs are then unset. No panic or exception crosses. Handles are
// immutable once made: any thread may use one, and freeing it is the last use. A null handle or
// output is refused with HOCKET_TEXT_INVALID_ARGUMENT; freeing null does nothing.
#ifndef HOCKET_RUNTIME_TEXT_FFI_TEXT_FFI_H_
#define HOCKET_RUNTIME_TEXT_FFI_TEXT_FFI_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hocket_text_code {
  HOCKET_TEXT_OK = 0,
  HOCKET_TEXT_INVALID_ARGUMENT = 1,  // The input, a file's content included, is wrong.
  HOCKET_TEXT_INTERNAL = 2,          // The library panicked: a bug.
};

// Bytes that the caller owns; `data` may be null when `size` is 0.
typedef struct {
  const char* data;
  size_t size;  // bytes
} hocket_text_view;

// Bytes that the library owns until hocket_text_buffer_free. Text is UTF-8, without a NUL.
typedef struct {
  char* data;
  size_t size;  // bytes
} hocket_text_buffer;

// Token ids that the library owns until hocket_text_tokens_free.
typedef struct {
  int32_t* data;
  size_t size;  // tokens
} hocket_text_tokens;

void hocket_text_error_free(char* error);
void hocket_text_buffer_free(hocket_text_buffer buffer);
void hocket_text_tokens_free(hocket_text_tokens tokens);

// ---- Tokenizer ----

typedef struct hocket_tokenizer hocket_tokenizer;

// `json` is the content of a tokenizer.json. Its truncation and padding settings are switched off.
int32_t hocket_tokenizer_load(hocket_text_view json, hocket_tokenizer** tokenizer, char** error);
void hocket_tokenizer_free(hocket_tokenizer* tokenizer);

// Invalid UTF-8 is refused with the offset of its first bad byte. Special tokens written out in
// `text` become those tokens; `add_special_tokens` adds what the post-processor adds.
int32_t hocket_tokenizer_encode(const hocket_tokenizer* tokenizer, hocket_text_view text,
                                bool add_special_tokens, hocket_text_tokens* tokens, char** error);

// Ill-formed bytes become U+FFFD, one for each maximal ill-formed part, whatever the decoder. Ids
// that the vocabulary does not hold have no text; negative ones are refused.
int32_t hocket_tokenizer_decode(const hocket_tokenizer* tokenizer, const int32_t* tokens,
                                size_t token_count, bool skip_special_tokens,
                                hocket_text_buffer* text, char** error);

// The vocabulary's spelling; `piece->data` is null for an id that it does not hold.
int32_t hocket_tokenizer_id_to_piece(const hocket_tokenizer* tokenizer, int32_t token,
                                     hocket_text_buffer* piece, char** error);
// *token is -1 for a piece that the vocabulary does not hold.
int32_t hocket_tokenizer_piece_to_id(const hocket_tokenizer* tokenizer, hocket_text_view piece,
                                     int32_t* token, char** error);

// One more than the highest id, added tokens included; 0 for a null handle.
int32_t hocket_tokenizer_vocabulary_size(const hocket_tokenizer* tokenizer);
bool hocket_tokenizer_is_special(const hocket_tokenizer* tokenizer, int32_t token);

// ---- Chat template ----

typedef struct hocket_chat_template hocket_chat_template;

typedef struct {
  hocket_text_view role;
  hocket_text_view content;
} hocket_chat_message;

// `source` is the Jinja template; `variables_json` a JSON object of what it sees beside the
// messages: {"bos_token": "<s>"}. An error names the line: what does not parse, a tag of more than
// 2,000 tokens, more than 1,000 elif.
int32_t hocket_chat_template_new(hocket_text_view source, hocket_text_view variables_json,
                                 hocket_chat_template** chat_template, char** error);
void hocket_chat_template_free(hocket_chat_template* chat_template);

// A template that raises fails with its own message. A render is bounded: a million instructions,
// 100 nested calls, 64 MiB of text. It runs on a thread of its own while the caller waits.
int32_t hocket_chat_template_render(const hocket_chat_template* chat_template,
                                    const hocket_chat_message* messages, size_t message_count,
                                    bool add_generation_prompt, hocket_text_buffer* text,
                                    char** error);

// ---- Constraints ----

// A model's tokens, arranged for constraints; costs a fraction of a second and some memory to make.
typedef struct hocket_grammar_vocabulary hocket_grammar_vocabulary;

// `end_tokens` end a text; ids outside [0, vocabulary_size) are ignored, but one is needed. Refused
// for a tokenizer whose tokens do not stand for bytes.
int32_t hocket_grammar_vocabulary_new(const hocket_tokenizer* tokenizer, const int32_t* end_tokens,
                                      size_t end_token_count, int32_t vocabulary_size,
                                      hocket_grammar_vocabulary** vocabulary, char** error);
void hocket_grammar_vocabulary_free(hocket_grammar_vocabulary* vocabulary);

// What a text must match, and how far one text has come. Not immutable: each text has its own copy,
// used by one thread at a time.
typedef struct hocket_constraint hocket_constraint;

enum hocket_constraint_kind {
  HOCKET_CONSTRAINT_JSON_SCHEMA = 0,
  HOCKET_CONSTRAINT_REGEX = 1,
  HOCKET_CONSTRAINT_CHOICES = 2,  // `text` is a JSON array of texts.
  HOCKET_CONSTRAINT_LARK = 3,
};

// An error says, in the library's words, what of `text` is wrong or too complex. The vocabulary may
// be freed before the constraint.
int32_t hocket_constraint_new(const hocket_grammar_vocabulary* vocabulary, int32_t kind,
                              hocket_text_view text, hocket_constraint** constraint, char** error);
int32_t hocket_constraint_clone(const hocket_constraint* constraint, hocket_constraint** copy,
                                char** error);
void hocket_constraint_free(hocket_constraint* constraint);

// Sets bit i % 32 of mask[i / 32] where token i may come next, in `word_count` words. The end
// tokens may come where the text may end.
int32_t hocket_constraint_mask(hocket_constraint* constraint, uint32_t* mask, size_t word_count,
                               char** error);

// Goes on by a token, which must have been allowed. *complete: nothing may follow any more.
int32_t hocket_constraint_accept(hocket_constraint* constraint, int32_t token, bool* complete,
                                 char** error);

#ifdef __cplusplus
}
#endif

#endif  // HOCKET_RUNTIME_TEXT_FFI_TEXT_FFI_H_
