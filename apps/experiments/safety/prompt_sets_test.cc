#include "experiments/safety/prompt_sets.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PromptSets : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    EXPECT_OK(write_text_file(directory_.file(name), text));
    return directory_.file(name);
  }
  static std::vector<std::string> shown(const std::string& path, int64_t per_category = 0) {
    std::vector<std::string> all;
    const std::vector<CategorisedPrompt> prompts = read_prompts(path, per_category).value();
    for (const CategorisedPrompt& p : prompts) {
      all.push_back(p.category + "|" + p.prompt);
    }
    return all;
  }
  static std::string message(const std::string& path) {
    return read_prompts(path, 0).status().message();
  }
  const TempDir directory_;
};

TEST_F(PromptSets, AFolderHasACategoryPerFileInTheOrderOfNumbers) {
  write("category_10.csv", "ten\n");
  write("category_2.csv", "\"two, with a comma\"\n\"and \"\"quotes\"\"\nover lines\"\nplain\n");
  write("weather.txt", "one\r\n\n  two  \n");
  write("readme.md", "not a prompt\n");
  EXPECT_THAT(shown(directory_.path()),
              ElementsAre("category_2|two, with a comma", "category_2|and \"quotes\"\nover lines",
                          "category_2|plain", "category_10|ten", "weather|one", "weather|two"));
  EXPECT_THAT(shown(directory_.path(), 1),
              ElementsAre("category_2|two, with a comma", "category_10|ten", "weather|one"));
}

TEST_F(PromptSets, JsonLinesNameTheirCategory) {
  const std::string path = write("set.jsonl",
                                 "{\"prompt\": \"a\", \"category\": \"x\"}\n\n"
                                 "{\"prompt\": \" b \"}\n"
                                 "{\"category\": \"x\", \"prompt\": \"c\"}\n");
  EXPECT_THAT(shown(path), ElementsAre("x|a", "set|b", "x|c"));
  EXPECT_THAT(shown(path, 1), ElementsAre("x|a", "set|b"));
}

TEST_F(PromptSets, ErrorsNameFileAndLine) {
  EXPECT_THAT(message(write("a.csv", "fine\nx,y\n")), HasSubstr("a.csv line 2: a comma"));
  EXPECT_THAT(message(write("b.csv", "\"x\" y\n")), HasSubstr("line 1: 'y' follows"));
  EXPECT_THAT(message(write("c.csv", "x\n\"y\n")), HasSubstr("line 2: a quote is not closed"));
  EXPECT_THAT(message(write("d.jsonl", "{\"prompt\": \"a\"}\n[1]\n")), HasSubstr("line 2"));
  EXPECT_THAT(message(write("e.jsonl", "{\"prompt\": 3}\n")), HasSubstr("line 1"));
  EXPECT_THAT(message(write("f.jsonl", "{\"prompt\": \" \"}\n")), HasSubstr("empty"));
  EXPECT_THAT(message(write("g.txt", "\n")), HasSubstr("g.txt' has no prompts"));
  EXPECT_THAT(message(write("h.pdf", "x")), HasSubstr("expected a folder, or"));
  EXPECT_FALSE(read_prompts(directory_.file("none.txt"), 0).ok());
}

}  // namespace
}  // namespace looplm
