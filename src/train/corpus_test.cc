#include "train/corpus.h"

#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <zlib.h>

#include "looplm/tokenizer_trainer.h"

#include "model/tokenizer_files.h"
#include "support/full_disk.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "train/data_loader.h"
#include "train/shard_builder.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CorpusTest : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.file(name), std::ios::binary) << text;
    return dir_.file(name);
  }
  std::vector<std::string> documents(const std::string& path, TextSplit split) {
    std::vector<std::string> out;
    lines_.clear();
    status_ = read_corpus(path, {.split = split, .on_bad = on_bad_},
                          [&](const CorpusDocument& document, int64_t line) {
                            lines_.push_back(line);
                            out.emplace_back();
                            for (const CorpusSegment& s : document)
                              out.back() += s.learnt ? s.text : s.text + "|";
                            return Status();
                          });
    return out;
  }

  TempDir dir_;
  Status status_;
  std::vector<int64_t> lines_;  // of the documents read last
  std::function<Status(const Status&)> on_bad_;
};

TEST_F(CorpusTest, CutsPlainTextAsAsked) {
  const std::string path = write("a.txt", "\none\r\ntwo\n \t\n\nthree\n");
  EXPECT_THAT(documents(path, TextSplit::kParagraph), ElementsAre("one\r\ntwo", "three"));
  EXPECT_THAT(documents(path, TextSplit::kLine), ElementsAre("one", "two", "three"));
  EXPECT_THAT(documents(path, TextSplit::kFile), ElementsAre("\none\r\ntwo\n \t\n\nthree\n"));
  EXPECT_THAT(documents(write("b.txt", "no end"), TextSplit::kParagraph), ElementsAre("no end"));
  EXPECT_THAT(documents(write("c.txt", " \n\n"), TextSplit::kFile), ElementsAre());
  EXPECT_TRUE(status_.ok());
}

TEST_F(CorpusTest, ReadsJsonLines) {
  const std::string path = write("a.jsonl",
                                 "{\"text\": \"x\\ny\", \"id\": 3}\n\n"
                                 "{\"prompt\": \"p\", \"completion\": \"c\"}\n"
                                 "{\"turns\": [{\"prompt\": \"p\", \"completion\": \"c\"}, "
                                 "{\"prompt\": \"q\", \"completion\": \"\"}]}\n"
                                 "{\"text\": \"\"}\n");
  EXPECT_THAT(documents(path, TextSplit::kLine), ElementsAre("x\ny", "p|c", "p|cq|"));
  EXPECT_TRUE(status_.ok());
}

// Several megabytes, which are read in parts.
TEST_F(CorpusTest, PackedTextIsTheSameTextInEveryForm) {
  std::string lines, json;  // of more than a megabyte, the unit of unpacking
  for (int i = 0; i < 70000; ++i) {
    lines += i % 7 == 3 ? " \t\r\n" : "a line of words " + std::to_string(i) + "\n";
    json += i % 7 == 3 ? "\n" : "{\"text\": \"some words " + std::to_string(i) + "\"}\n";
  }
  const auto pack = [this](const std::string& name, const std::string& text) {
    gzFile file = gzopen(dir_.file(name).c_str(), "wb");
    EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
              static_cast<int>(text.size()));
    gzclose(file);
    return dir_.file(name);
  };
  for (const TextSplit split : {TextSplit::kParagraph, TextSplit::kLine, TextSplit::kFile}) {
    for (const auto& [name, text] : {std::pair{"a.txt", &lines}, {"a.jsonl", &json}}) {
      const std::vector<std::string> plain = documents(write(name, *text), split);
      const std::vector<int64_t> at = lines_;
      EXPECT_TRUE(documents(pack(name + std::string(".gz"), *text), split) == plain);
      EXPECT_OK(status_);
      EXPECT_TRUE(lines_ == at);
    }
  }
  for (const std::string& bad : {std::string("x\xFF\n"), std::string("x\0\n", 3)}) {
    documents(write("b.txt", lines + bad), TextSplit::kLine);
    const std::string plain = status_.message();
    documents(pack("b.txt.gz", lines + bad), TextSplit::kLine);
    EXPECT_ERROR_SAYS(status_, "b.txt.gz", "in line 70001");
    EXPECT_EQ(status_.message().substr(status_.message().find("byte")),
              plain.substr(plain.find("byte")));
  }
}

TEST_F(CorpusTest, APromptWithoutACompletionTeachesNothing) {
  for (const char* line : {R"({"prompt": "p", "completion": ""})",
                           R"({"turns": [{"prompt": "p", "completion": ""}]})"}) {
    on_bad_ = nullptr;
    documents(write("a.jsonl", line), TextSplit::kLine);
    EXPECT_ERROR_SAYS(status_, "a.jsonl:1", "'completion' is empty");
    int bad = 0;
    on_bad_ = [&](const Status&) { return ++bad, Status(); };
    EXPECT_THAT(documents(write("a.jsonl", line), TextSplit::kLine), ElementsAre());
    EXPECT_EQ(bad, 1);
  }
}

// Their objects would be learnt as text, braces and all.
TEST_F(CorpusTest, JsonThatIsNotInLinesIsNoText) {
  documents(write("a.json", R"([{"text": "x"}])"), TextSplit::kParagraph);
  EXPECT_ERROR_SAYS(status_, "a.json", ".jsonl");
  EXPECT_THAT(documents(write("a.ndjson", "{\"text\": \"x\"}\n"), TextSplit::kFile),
              ElementsAre("x"));
  for (const char* text :
       {"{\n \"text\": \"x\"\n}\n", "[\n{\"text\": \"x\"}]\n", "[{}]\n", "3\n"}) {
    documents(write("a.jsonl", text), TextSplit::kLine);
    EXPECT_ERROR_SAYS(status_, "a.jsonl:1", "a whole JSON object in each line", "jq -c");
  }
}

// Reading it takes many times its size.
TEST_F(CorpusTest, RefusesALineThatIsTooLong) {
  const std::string most = "{\"text\": \"" + std::string((32 << 20) - 12, ' ') + "\"}";
  EXPECT_EQ(documents(write("a.jsonl", most), TextSplit::kLine).size(), 1u);
  EXPECT_OK(status_);
  documents(write("a.jsonl", "\n" + most + " "), TextSplit::kLine);
  EXPECT_ERROR_SAYS(status_, "a.jsonl:2", "33554433 bytes", "33554432", "--split file");
}

TEST_F(CorpusTest, ErrorsNameFileLineAndField) {
  const auto error = [&](const std::string& text) {
    documents(write("bad.jsonl", "{\"text\": \"fine\"}\n" + text), TextSplit::kLine);
    EXPECT_FALSE(status_.ok()) << text;
    EXPECT_THAT(status_.message(), HasSubstr("bad.jsonl:2"));
    return status_.message();
  };
  EXPECT_THAT(error("{\"txt\": 1}"), HasSubstr("'text'"));
  EXPECT_THAT(error("{\"text\": 1}"), HasSubstr("is 1; expected a string"));
  EXPECT_THAT(error("{\"prompt\": \"p\"}"), HasSubstr("'completion'"));
  EXPECT_THAT(error("{\"prompt\": \"p\", \"completion\": \"c\", \"text\": \"t\"}"),
              HasSubstr("expected one of"));
  EXPECT_THAT(error("{\"turns\": 3}"), HasSubstr("'turns' is 3"));
  EXPECT_THAT(error("{\"turns\": [{\"prompt\": \"p\"}]}"), HasSubstr("turn 0"));
  EXPECT_THAT(error("[1]"), HasSubstr("JSON object"));
  EXPECT_THAT(error("{\"text\": \"cut"), HasSubstr("not valid JSON"));
  documents(dir_.file("missing.txt"), TextSplit::kLine);
  EXPECT_THAT(status_.message(), HasSubstr("missing.txt"));
}

TEST_F(CorpusTest, SaysInWhichLineADocumentBegins) {
  const std::string path = write("a.txt", "\none\ntwo\n\n\nthree\n");
  documents(path, TextSplit::kParagraph);
  EXPECT_THAT(lines_, ElementsAre(2, 6));
  documents(path, TextSplit::kLine);
  EXPECT_THAT(lines_, ElementsAre(2, 3, 6));
  documents(write("a.jsonl", "{\"text\": \"\"}\n\n{\"text\": \"x\"}\n"), TextSplit::kLine);
  EXPECT_THAT(lines_, ElementsAre(3));
}

TEST_F(CorpusTest, TextThatIsNotUtf8IsAnErrorOrLeftOut) {
  using namespace std::string_literals;
  EXPECT_THAT(documents(write("mark.txt", "\xEF\xBB\xBFone\ntwo\n"), TextSplit::kLine),
              ElementsAre("one", "two"));
  EXPECT_THAT(documents(write("mark.jsonl", "\xEF\xBB\xBF{\"text\": \"x\"}\n"), TextSplit::kLine),
              ElementsAre("x"));
  const std::string latin = write("latin.txt", "caf\xC3\xA9\ncaf\xE9 au lait\n\nmore\n");
  const std::string wide = write("wide.txt", "\xFF\xFEh\0i\0\n\0"s);
  const std::string unmarked = write("unmarked.txt", "h\0i\0\n\0"s);
  const std::string json = write("latin.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xE9\"}\n");
  for (TextSplit split : {TextSplit::kParagraph, TextSplit::kLine, TextSplit::kFile}) {
    EXPECT_THAT(documents(latin, split), ElementsAre());
    EXPECT_ERROR_SAYS(status_, "latin.txt", "byte 9 (0xE9, in line 2)", "UTF-8");
    documents(wide, split);
    EXPECT_ERROR_SAYS(status_, "wide.txt", "UTF-16");
    documents(unmarked, split);
    EXPECT_ERROR_SAYS(status_, "unmarked.txt", "byte 1 (in line 1) is zero", "UTF-16");
    documents(json, split);
    EXPECT_ERROR_SAYS(status_, "latin.jsonl", "line 2", "UTF-8");
  }
  const std::string escaped = write(
      "escaped.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\\u0000\"}\n{\"text\": \"\\\\u0000\"}\n");
  documents(escaped, TextSplit::kLine);
  EXPECT_ERROR_SAYS(status_, "escaped.jsonl:2", "character \\u0000");
  std::vector<std::string> bad;
  on_bad_ = [&bad](const Status& why) {
    bad.push_back(why.message());
    return Status();
  };
  EXPECT_THAT(documents(escaped, TextSplit::kLine), ElementsAre("a", "\\u0000"));
  EXPECT_THAT(std::exchange(bad, {}), ElementsAre(HasSubstr("escaped.jsonl:2")));
  EXPECT_THAT(documents(latin, TextSplit::kLine), ElementsAre("caf\xC3\xA9", "more"));
  EXPECT_THAT(documents(latin, TextSplit::kParagraph), ElementsAre("more"));
  EXPECT_THAT(documents(json, TextSplit::kLine), ElementsAre("a"));
  documents(wide, TextSplit::kFile);
  EXPECT_OK(status_);
  ASSERT_EQ(bad.size(), 4u);
  EXPECT_THAT(bad[0], HasSubstr("latin.txt:2: byte 3 (0xE9)"));
  EXPECT_THAT(bad[1], HasSubstr("latin.txt:1: byte 9 (0xE9)"));
  EXPECT_THAT(bad[2], HasSubstr("latin.jsonl:2"));
  EXPECT_THAT(bad[3], HasSubstr("wide.txt:1: byte 0 (0xFF)"));
}

class ShardBuilderTest : public CorpusTest {
 protected:
  void SetUp() override {
    TokenizerTrainerOptions options;
    options.vocab_size = 270;
    auto trainer = std::move(TokenizerTrainer::create(options).value());
    for (int i = 0; i < 20; ++i) trainer.add("the cat and the dog and the hen");
    json_ = parse_json(trainer.train().value(), "test").value();
    tokenizer_ = Tokenizer::parse(json_.dump(), "test").value();
    std::string text;
    for (int i = 0; i < 500; ++i) text += "the cat " + std::to_string(i) + " and <|endoftext|>\n";
    file_ = write("text.txt", text);
    options_.split = TextSplit::kLine;
    options_.end_token = 0;
  }

  Result<ShardBuildSummary> build(int threads, const std::string& out) {
    ThreadPool pool(threads);
    return build_shards({file_}, *tokenizer_, options_, dir_.file(out), dir_.file("held.tokens"),
                        pool);
  }

  Json json_;  // the tokenizer's file
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string file_;
  ShardBuildOptions options_;
};

TEST_F(ShardBuilderTest, DocumentsReadBackAsTheirTextAndAnEnd) {
  const ShardBuildSummary s = build(2, "one.tokens").value();
  EXPECT_EQ(s.documents, 500);
  const TokenShard shard = std::move(TokenShard::open(dir_.file("one.tokens")).value());
  EXPECT_TRUE(shard.verify().ok());
  EXPECT_EQ(shard.tokens(), s.tokens);
  EXPECT_EQ(s.targets, s.tokens - 500);
  std::vector<int32_t> ids(static_cast<size_t>(shard.document_length(41)));
  ASSERT_TRUE(shard.read(41, 0, ids).ok());
  EXPECT_EQ(ids.back(), 0);
  ids.pop_back();
  // The special token in the text is text: strangers cannot end a document.
  EXPECT_EQ(tokenizer_->decode(ids, true), "the cat 41 and <|endoftext|>");
}

TEST_F(ShardBuilderTest, PromptsAreNoTargets) {
  file_ = write("pairs.jsonl", R"({"prompt": "the cat", "completion": " and the dog"})");
  const ShardBuildSummary s = build(1, "pairs.tokens").value();
  const TokenShard shard = std::move(TokenShard::open(dir_.file("pairs.tokens")).value());
  const auto prompt = static_cast<int64_t>(tokenizer_->encode("the cat").value().size());
  for (int64_t i = 0; i < shard.document_length(0); ++i) {
    EXPECT_EQ(shard.is_learnt(0, i), i >= prompt) << i;
  }
  EXPECT_EQ(s.targets, s.tokens - prompt);
}

TEST_F(ShardBuilderTest, DocumentsBeginAsTheTokenizerBeginsATextAndThatIsNoTarget) {
  json_["post_processor"] = Json::parse(R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<b>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<b>"}}],
      "special_tokens": {"<b>": {"ids": [0, 7]}}})");
  tokenizer_ = Tokenizer::parse(json_.dump(), "test").value();
  file_ = write("turns.jsonl", R"({"turns": [{"prompt": "the", "completion": "cat"},)"
                               R"({"prompt": "and", "completion": "hen"}]})");
  const ShardBuildSummary s = build(1, "turns.tokens").value();
  const TokenShard shard = std::move(TokenShard::open(dir_.file("turns.tokens")).value());
  std::vector<int32_t> ids(static_cast<size_t>(shard.document_length(0)));
  ASSERT_OK(shard.read(0, 0, ids));
  std::vector<int32_t> expected = {0, 7};
  std::vector<bool> learnt = {false, false};
  for (const auto& [text, learn] :
       {std::pair("the", false), {"cat", true}, {"and", false}, {"hen", true}}) {
    const std::vector<int32_t> part =
        tokenizer_->encode(text, {.as = EncodeAs::kContinuation}).value();
    expected.insert(expected.end(), part.begin(), part.end());
    learnt.insert(learnt.end(), part.size(), learn);
  }
  expected.push_back(*options_.end_token);  // once, whatever the template has behind a text
  learnt.push_back(true);
  EXPECT_EQ(ids, expected);
  for (size_t i = 0; i < learnt.size(); ++i) {
    EXPECT_EQ(shard.is_learnt(0, static_cast<int64_t>(i)), learnt[i]) << i;
  }
  EXPECT_EQ(s.targets, std::count(learnt.begin(), learnt.end(), true));
}

TEST_F(ShardBuilderTest, TextWithoutTokensIsAnErrorOrCounted) {
  json_["model"]["vocab"].erase("9");
  json_["model"]["merges"] = Json::array();
  tokenizer_ = Tokenizer::parse(json_.dump(), "test").value();
  file_ = write("sums.txt", "1+1=2\n#a+19=9\n");
  EXPECT_ERROR_SAYS(build(2, "sums.tokens"), "sums.txt:2", "'9'", "2 bytes");
  EXPECT_FALSE(std::filesystem::exists(dir_.file("sums.tokens")));
  options_.allow_loss = true;
  const Result<ShardBuildSummary> s = build(2, "sums.tokens");
  ASSERT_OK(s.status());
  EXPECT_EQ(s.value().lost_bytes, 2);
  EXPECT_EQ(s.value().tokens, 5 + 5 + 2);
}

TEST_F(ShardBuilderTest, BadDocumentsAreNamedByTheirLineOrCounted) {
  json_["model"]["vocab"].erase("9");
  json_["model"]["merges"] = Json::array();
  tokenizer_ = Tokenizer::parse(json_.dump(), "test").value();
  file_ = write("sums.txt", "first\n\n1+1=2\nsecond\na+19=9\nlast\n\nthird\n");
  options_.split = TextSplit::kParagraph;
  EXPECT_ERROR_SAYS(build(2, "sums.tokens"), "sums.txt:5", "'9'");
  options_.skip_bad = true;
  const ShardBuildSummary s = build(2, "sums.tokens").value();
  EXPECT_EQ(s.documents, 2);
  EXPECT_EQ(s.skipped_documents, 1);
  EXPECT_THAT(s.first_skipped, HasSubstr("sums.txt:5"));
  file_ = write("all.jsonl", "{\"text\": 3}\n[]\n");
  EXPECT_ERROR_SAYS(build(1, "all.tokens"), "no documents", "2 bad ones", "all.jsonl:1");
}

TEST_F(ShardBuilderTest, DocumentsWithoutTextAreCounted) {
  file_ = write("texts.jsonl",
                "{\"text\": \"\"}\n{\"text\": \"the cat\"}\n"
                "{\"prompt\": \"\", \"completion\": \"\"}\n{\"turns\": []}\n");
  const ShardBuildSummary s = build(1, "texts.tokens").value();
  EXPECT_EQ(s.documents, 1);
  EXPECT_EQ(s.empty_documents, 3);
  file_ = write("none.jsonl", "{\"text\": \"\"}\n");
  EXPECT_ERROR_SAYS(build(1, "none.tokens"), "no documents", "1 without text");
}

TEST_F(ShardBuilderTest, PromptsAloneAreAnError) {
  file_ = write("prompts.jsonl", R"({"prompt": "the cat", "completion": ""})");
  EXPECT_ERROR_SAYS(build(1, "prompts.tokens"), "prompts.jsonl:1", "'completion' is empty");
  file_ = write("first.jsonl", R"({"text": "t"})");
  options_.end_token = {};
  EXPECT_ERROR_SAYS(build(1, "prompts.tokens"), "1 document and no token to learn");
  EXPECT_FALSE(std::filesystem::exists(dir_.file("prompts.tokens")));
}

TEST_F(ShardBuilderTest, ShardsNameTheVocabularyOfTheirTokenizer) {
  (void)build(1, "one.tokens").value();
  const TokenShard shard = std::move(TokenShard::open(dir_.file("one.tokens")).value());
  EXPECT_OK(check_same_tokenizer("shard", shard.vocabulary(), "'test'", *tokenizer_));
  // The same tokens otherwise cut are the same vocabulary; another token is another.
  json_["model"]["merges"] = Json::array();
  EXPECT_OK(check_same_tokenizer("shard", shard.vocabulary(), "'test'",
                                 *Tokenizer::parse(json_.dump(), "test").value()));
  const Json id = json_["model"]["vocab"]["9"];
  json_["model"]["vocab"].erase("9");
  json_["model"]["vocab"]["9999"] = id;
  EXPECT_ERROR_SAYS(check_same_tokenizer("shard 'x'", shard.vocabulary(), "'test'",
                                         *Tokenizer::parse(json_.dump(), "test").value()),
                    "shard 'x'", "tokenizer of 'test'", "hash");
}

TEST_F(ShardBuilderTest, ThreadsAndShardSizesDoNotChangeTheTokens) {
  (void)build(1, "one.tokens").value();
  (void)build(3, "three.tokens").value();
  EXPECT_EQ(TokenShard::open(dir_.file("one.tokens")).value().hash(),
            TokenShard::open(dir_.file("three.tokens")).value().hash());

  options_.shard_tokens = 1000;
  for (int round = 0; round < 2; ++round) {  // the second replaces the first
    const ShardBuildSummary s = build(2, "many").value();
    EXPECT_GT(s.shards.size(), 3u);
    const TokenDataset many = std::move(TokenDataset::open(dir_.file("many")).value());
    const TokenDataset one = std::move(TokenDataset::open(dir_.file("one.tokens")).value());
    ASSERT_EQ(many.documents(), one.documents());
    EXPECT_EQ(many.tokens(), one.tokens());
    for (int64_t d : {0, 77, 499}) {
      const auto a = many.document(d);
      const auto b = one.document(d);
      std::vector<int32_t> x(static_cast<size_t>(a.shard->document_length(a.index)));
      std::vector<int32_t> y(static_cast<size_t>(b.shard->document_length(b.index)));
      ASSERT_TRUE(a.shard->read(a.index, 0, x).ok());
      ASSERT_TRUE(b.shard->read(b.index, 0, y).ok());
      EXPECT_EQ(x, y) << d;
    }
  }
}

TEST_F(ShardBuilderTest, NeverWritesOverWhatItReads) {
  const std::string before = read_text_file(file_).value();
  ThreadPool pool(1);
  for (const bool held : {false, true}) {
    options_.hold_out_every = held ? 50 : 0;
    const Status refused = build_shards({file_}, *tokenizer_, options_,
                                        held ? dir_.file("x") : file_, held ? file_ : "", pool)
                               .status();
    EXPECT_ERROR_SAYS(refused, file_.c_str(), "choose another");
  }
  EXPECT_EQ(read_text_file(file_).value(), before);
  // By another name of the same file, too.
  const std::filesystem::path path = file_;
  const std::string other = (path.parent_path() / "." / path.filename()).string();
  std::filesystem::create_symlink(path, dir_.file("link"));
  for (const std::string& name : {other, dir_.file("link")}) {
    EXPECT_ERROR_SAYS(build_shards({file_}, *tokenizer_, options_, name, "", pool),
                      "choose another");
    EXPECT_ERROR_SAYS(build_shards({name}, *tokenizer_, options_, file_, "", pool),
                      "choose another");
  }
  EXPECT_EQ(read_text_file(file_).value(), before);
  options_.hold_out_every = 50;
  EXPECT_ERROR_SAYS(
      build_shards({file_}, *tokenizer_, options_, dir_.file("y"), dir_.file("./y"), pool),
      "held out", "choose another");
  EXPECT_FALSE(std::filesystem::exists(dir_.file("y")));
}

TEST_F(ShardBuilderTest, HoldsOutEveryNthDocument) {
  options_.hold_out_every = 50;
  const ShardBuildSummary s = build(2, "train.tokens").value();
  EXPECT_EQ(s.documents, 490);
  EXPECT_EQ(s.held_out_documents, 10);
  const TokenShard held = std::move(TokenShard::open(dir_.file("held.tokens")).value());
  std::vector<int32_t> ids(static_cast<size_t>(held.document_length(1)));
  ASSERT_TRUE(held.read(1, 0, ids).ok());
  EXPECT_THAT(tokenizer_->decode(ids), HasSubstr("the cat 99 and"));
}

TEST_F(ShardBuilderTest, HoldingOutEveryDocumentIsRefused) {
  options_.hold_out_every = 1;
  EXPECT_ERROR_SAYS(build(1, "train.tokens"), "1 in 1", "expected 1 in 2");
}

TEST_F(ShardBuilderTest, AFailureLeavesNothing) {
  file_ = write("bad.jsonl", "{\"text\": \"fine\"}\n{\"text\": 1}\n");
  options_.shard_tokens = 1;
  EXPECT_FALSE(build(1, "many").ok());
  EXPECT_FALSE(is_directory(dir_.file("many")));
  file_ = write("empty.txt", "\n\n");
  const auto empty = build(1, "none");
  EXPECT_THAT(empty.status().message(), HasSubstr("no documents"));
}

TEST_F(ShardBuilderTest, AShardWithoutAPlaceIsRefusedBeforeTheWork) {
  file_ = write("bad.jsonl", "{\"text\": 1}\n");
  std::filesystem::create_directory(dir_.file("folder"));
  EXPECT_ERROR_SAYS(build(1, "folder"), "folder' is a directory");
  EXPECT_ERROR_SAYS(build(1, "gone/x.tokens"), "gone/x.tokens", "No such file");
}

// The documents held out fit on the disk; the others do not.
TEST_F(ShardBuilderTest, ShardsAppearTogetherOrNotAtAll) {
  options_.hold_out_every = 50;
  for (const int64_t tokens : {0, 100'000}) {
    options_.shard_tokens = tokens;
    {
      const FullDisk disk(4'000);
      EXPECT_ERROR_SAYS(build(1, "train.tokens"), "train.tokens", "File too large");
    }
    EXPECT_FALSE(file_exists(dir_.file("held.tokens")));
    EXPECT_FALSE(std::filesystem::exists(dir_.file("train.tokens")));
  }
  ASSERT_OK(build(1, "train.tokens"));
  EXPECT_TRUE(file_exists(dir_.file("held.tokens")));
}

TEST_F(ShardBuilderTest, FindsTheEndTokenOfATokenizer) {
  const std::string name = "tokenizer_config.json";
  const std::string directory = dir_.file(name).substr(0, dir_.file(name).size() - name.size() - 1);
  EXPECT_FALSE(end_token_of(directory, *tokenizer_).value().has_value());
  write(name, R"({"eos_token": "<|endoftext|>"})");
  EXPECT_EQ(end_token_of(directory, *tokenizer_).value(), 0);
  write(name, R"({"eos_token": {"content": "<|endoftext|>"}})");
  EXPECT_EQ(end_token_of(directory, *tokenizer_).value(), 0);
  write(name, R"({"eos_token": "</s>"})");
  EXPECT_THAT(end_token_of(directory, *tokenizer_).status().message(), HasSubstr("</s>"));
}

}  // namespace
}  // namespace looplm
