// looplm tokenizer: learn one from text, and turn text into ids and back.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "looplm/tokenizer.h"
#include "looplm/tokenizer_trainer.h"

#include "base/count_text.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "cli/token_text.h"
#include "model/atomic_directory.h"
#include "model/tokenizer_files.h"
#include "text/utf8.h"
#include "train/corpus.h"

namespace looplm::cli {
namespace {

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kConfigFile = "tokenizer_config.json";

struct VocabularyOptions {
  std::vector<std::string> files;
  std::string out;
  TokenizerTrainerOptions trainer;
  bool digit_runs = false;
  bool json = false;
};

// What transformers' AutoTokenizer reads beside tokenizer.json.
std::string tokenizer_config(const std::string& end_token) {
  OrderedJson config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["bos_token"] = end_token;
  config["eos_token"] = end_token;
  config["pad_token"] = end_token;
  config["unk_token"] = end_token;
  config["clean_up_tokenization_spaces"] = false;
  return dump_json(config, 2) + "\n";
}

Status train(VocabularyOptions options) {
  options.trainer.single_digits = !options.digit_runs;
  LOOPLM_ASSIGN_OR_RETURN(TokenizerTrainer trainer, TokenizerTrainer::create(options.trainer));
  int64_t documents = 0;
  uint64_t bytes = 0;
  for (const std::string& file : options.files) {
    LOOPLM_RETURN_IF_ERROR(
        read_corpus(file, {.split = TextSplit::kLine}, [&](CorpusDocument document, int64_t) {
          for (const CorpusSegment& segment : document) {
            trainer.add(segment.text);
            bytes += segment.text.size();
          }
          ++documents;
          return Status();
        }));
  }
  if (documents == 0) {
    return invalid_argument(fmt::format("no text in '{}'{}", options.files.front(),
                                        options.files.size() > 1 ? " and the other files" : ""));
  }
  const bool show = isatty(STDERR_FILENO) != 0 && !options.json;
  LOOPLM_ASSIGN_OR_RETURN(const std::string file, trainer.train([&](int64_t tokens) {
    if (show) fmt::print(stderr, "\r{} of {} tokens", tokens, options.trainer.vocab_size);
  }));
  if (show) fmt::print(stderr, "\r\x1b[K");
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          Tokenizer::parse(file, kTokenizerFile));
  LOOPLM_ASSIGN_OR_RETURN(AtomicDirectory directory,
                          AtomicDirectory::create(options.out, [](const std::string& name) {
                            return name == kTokenizerFile || name == kConfigFile;
                          }));
  LOOPLM_RETURN_IF_ERROR(write_text_file(directory.path() + "/" + kTokenizerFile, file));
  LOOPLM_RETURN_IF_ERROR(write_text_file(directory.path() + "/" + kConfigFile,
                                         tokenizer_config(options.trainer.special_tokens.front())));
  LOOPLM_RETURN_IF_ERROR(directory.commit());
  if (options.json) {
    OrderedJson json;
    json["out"] = options.out;
    json["tokens"] = tokenizer->vocab_size();
    json["documents"] = documents;
    json["bytes"] = bytes;
    fmt::print("{}\n", dump_json(json));
    return {};
  }
  fmt::print("{}: {} from {}, {}\n", options.out, count_text(tokenizer->vocab_size(), "token"),
             count_text(documents, "document"), count_text(bytes, "byte"));
  if (tokenizer->vocab_size() < options.trainer.vocab_size) {
    fmt::print("the text has no more pairs that occur {}; {} tokens were asked for\n",
               count_text(options.trainer.min_frequency, "time"), options.trainer.vocab_size);
  }
  return {};
}

struct CodeOptions {
  std::string directory;
  std::string prompt;
  bool has_prompt = false;
  std::string file;
  std::string ids;
  bool no_special = false;
  bool document = false;
  bool json = false;
};

Result<std::string> standard_input() {
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

Result<std::string> text_to_encode(const CodeOptions& options) {
  if (options.has_prompt) return options.prompt;
  if (!options.file.empty()) return read_text_file(options.file);
  return standard_input();
}

Status encode(const CodeOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          load_tokenizer(options.directory));
  LOOPLM_ASSIGN_OR_RETURN(const std::string text, text_to_encode(options));
  LOOPLM_RETURN_IF_ERROR(check_utf8(text).with_context("the text"));
  LOOPLM_ASSIGN_OR_RETURN(
      const std::vector<int32_t> ids,
      tokenizer->encode(text, {.as = options.no_special ? EncodeAs::kContinuation
                                     : options.document ? EncodeAs::kDocument
                                                        : EncodeAs::kPrompt,
                               .parse_special = !options.no_special}));
  if (!options.json) {
    std::string line;
    for (int32_t id : ids) line += (line.empty() ? "" : ",") + std::to_string(id);
    fmt::print("{}\n", line);
    return {};
  }
  OrderedJson json;
  json["ids"] = ids;
  json["tokens"] = OrderedJson::array();
  for (int32_t id : ids) json["tokens"].push_back(std::string(tokenizer->bytes(id)));
  fmt::print("{}\n", dump_json(json));
  return {};
}

Status decode(const CodeOptions& options) {
  LOOPLM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                          load_tokenizer(options.directory));
  std::string list = options.ids;
  if (list.empty()) {
    LOOPLM_ASSIGN_OR_RETURN(list, standard_input());
    while (!list.empty() && (list.back() == '\n' || list.back() == '\r')) list.pop_back();
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_ids("--ids", list));
  for (int32_t id : ids) {
    if (id < 0 || id >= tokenizer->vocab_size()) {
      return invalid_argument(fmt::format("--ids: {} is not an id of '{}'; expected 0 to {}", id,
                                          options.directory, tokenizer->vocab_size() - 1));
    }
  }
  const std::string text = tokenizer->decode(ids, options.no_special);
  if (options.json) {
    OrderedJson json;
    json["text"] = text;
    fmt::print("{}\n", dump_json(json));
  } else {
    fmt::print("{}\n", text);
  }
  return {};
}

void add_train(Program& program, Command& parent) {
  auto o = std::make_shared<VocabularyOptions>();
  Command* command = parent.add_subcommand(
      "train", "Train a byte-level BPE tokenizer; the same text gives the same file");
  command
      ->add_option("FILES", o->files,
                   "Text files, or .jsonl files with 'text', 'prompt' and 'completion', or "
                   "'turns' of these")
      ->required();
  command->add_option("--out", o->out, "Directory for tokenizer.json and tokenizer_config.json")
      ->required();
  command
      ->add_option("--vocab-size", o->trainer.vocab_size,
                   "Number of tokens, including the 256 bytes and the special tokens")
      ->capture_default_str();
  command
      ->add_option("--min-frequency", o->trainer.min_frequency,
                   "Pairs that occur less often are not merged")
      ->capture_default_str();
  command->add_option("--special", o->trainer.special_tokens,
                      "Special token, repeatable; the first is the end of text (default: "
                      "<|endoftext|>)");
  command->add_flag("--digit-runs", o->digit_runs,
                    "Let digits merge; by default each is a token of its own");
  command->add_flag("--json", o->json, "Print the summary as one JSON object");
  program.on(command, [o] { return train(*o); });
}

void add_encode(Program& program, Command& parent) {
  auto o = std::make_shared<CodeOptions>();
  Command* command = parent.add_subcommand("encode", "Print the ids of a text");
  command->add_option("DIR", o->directory, kTokenizerPlace)->required();
  Option* prompt = command->add_option("-p,--prompt", o->prompt,
                                       "The text (default: standard input, line ends included)");
  command->add_option("--file", o->file, "Read the text from this file")->excludes(prompt);
  Option* no_special =
      command->add_flag("--no-special", o->no_special,
                        "Add no special tokens, and read those written in the text as plain text");
  command
      ->add_flag("--document", o->document,
                 "Encode a whole document: also add the special tokens that end a text, which a "
                 "prompt does not have")
      ->excludes(no_special);
  command->add_flag("--json", o->json, "Print one JSON object: ids and tokens");
  program.on(command, [o, prompt]() -> Status {
    LOOPLM_ASSIGN_OR_RETURN(o->directory, locate_named_model(o->directory));
    o->has_prompt = prompt->given();
    return encode(*o);
  });
}

void add_decode(Program& program, Command& parent) {
  auto o = std::make_shared<CodeOptions>();
  Command* command = parent.add_subcommand("decode", "Print the text of ids");
  command->add_option("DIR", o->directory, kTokenizerPlace)->required();
  command->add_option("--ids", o->ids, "Ids, such as 1,2,3 (default: standard input)");
  command->add_flag("--no-special", o->no_special, "Leave special tokens out");
  command->add_flag("--json", o->json, "Print one JSON object: text");
  program.on(command, [o]() -> Status {
    LOOPLM_ASSIGN_OR_RETURN(o->directory, locate_named_model(o->directory));
    return decode(*o);
  });
}

}  // namespace

void add_tokenizer_command(Program& program) {
  Command* tokenizer = program.app().add_subcommand(
      "tokenizer", "Train a tokenizer, or encode and decode text with one");
  tokenizer->require_subcommand();
  add_train(program, *tokenizer);
  add_encode(program, *tokenizer);
  add_decode(program, *tokenizer);
}

}  // namespace looplm::cli
