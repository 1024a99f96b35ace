// libFuzzer's hook for tokenizer_fuzz.cc: a byte of choices, then a tokenizer.json.
#include "json_mutator.h"

namespace {

constexpr std::string_view kFragments[] = {
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})",
    R"({"type":"ByteFallback"})",
    R"({"type":"Fuse"})",
    R"({"type":"Strip","content":" ","start":1,"stop":0})",
    R"({"type":"Strip","strip_left":true,"strip_right":true})",
    R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})",
    R"({"type":"Replace","pattern":{"Regex":"[a-z]+"},"content":"x"})",
    R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})",
    R"({"type":"Sequence","decoders":[{"type":"Fuse"}]})",
    R"({"type":"Sequence","normalizers":[{"type":"NFC"}]})",
    R"({"type":"Sequence","pretokenizers":[{"type":"Whitespace"}]})",
    R"({"type":"WordPiece","prefix":"##","cleanup":true})",
    R"({"type":"BPEDecoder","suffix":"</w>"})",
    R"({"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true})",
    R"({"type":"NFKC"})",
    R"({"type":"Lowercase"})",
    R"({"type":"StripAccents"})",
    R"({"type":"Nmt"})",
    R"({"type":"Prepend","prepend":"▁"})",
    R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true})",
    R"({"type":"Split","pattern":{"Regex":"\\s+|\\p{L}"},"behavior":"Isolated","invert":false})",
    R"({"type":"Split","pattern":{"String":" "},"behavior":"MergedWithNext","invert":true})",
    R"({"type":"Digits","individual_digits":true})",
    R"({"type":"Punctuation","behavior":"Contiguous"})",
    R"({"type":"UnicodeScripts"})",
    R"({"type":"BertPreTokenizer"})",
    R"({"type":"CharDelimiterSplit","delimiter":"a"})",
    R"({"type":"Precompiled","precompiled_charsmap":"AAQAAAAAAAAAAAAA"})",
    R"({"type":"BPE","dropout":null,"unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"a":1,"b":2,"ab":3},"merges":["a b"]})",
    R"({"type":"BPE","continuing_subword_prefix":"##","end_of_word_suffix":"</w>","vocab":{"a":0,"##b":1,"ab":2},"merges":[["a","##b"]],"ignore_merges":true})",
    R"({"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["a",-1.5],["▁a",-2]]})",
    R"({"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"a"})",
    R"({"type":"WordPiece","vocab":{"a":0,"##b":1,"[UNK]":2},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100})",
    R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]}}})",
    R"({"type":"BertProcessing","sep":["</s>",2],"cls":["<s>",1]})",
    R"({"id":7,"content":"é","single_word":true,"lstrip":true,"rstrip":true,"normalized":true,"special":false})",
    R"("<0xE2>")",
    R"("▁a")",
};

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  return hocket::fuzz::MutateJsonInput(data, size, max_size, 1, kFragments, seed);
}
