#include "train/toml_reader.h"

#include <gmock/gmock.h>
#include <toml++/toml.h>

#include "support/status_matchers.h"

namespace looplm {
namespace {

class TomlReaderTest : public testing::Test {
 protected:
  TomlReader reader(const std::string& text) {
    table_ = parse_toml(text, "text").value();
    return {&table_, "", status_};
  }

  toml::table table_;
  Status status_;
};

TEST_F(TomlReaderTest, ListsReplaceTheDefaultAndMayBeASingleValue) {
  TomlReader settings = reader("loops = [1, 4]\nrate = 0.5\nnames = [\"a\", \"b\"]\nseeds = [7]");
  std::vector<int> loops = {9, 9, 9};
  std::vector<double> rates;
  std::vector<std::string> names;
  std::vector<uint64_t> seeds;
  std::vector<int64_t> absent = {3};
  settings.read("loops", loops, 1, 8);
  settings.read("rate", rates, 0, 1);
  settings.read("names", names);
  settings.read("seeds", seeds);
  settings.read("absent", absent, 0, 10);
  settings.finish();
  ASSERT_OK(status_);
  EXPECT_EQ(loops, (std::vector<int>{1, 4}));
  EXPECT_EQ(rates, std::vector<double>{0.5});
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(seeds, std::vector<uint64_t>{7});
  EXPECT_EQ(absent, std::vector<int64_t>{3});
}

TEST_F(TomlReaderTest, ErrorsOfListsNameTheEntry) {
  const auto error = [&](const std::string& text) {
    status_ = {};
    std::vector<int> loops = {2};
    reader(text).child("model").read("loops", loops, 1, 8);
    return status_;
  };
  EXPECT_ERROR_SAYS(error("model.loops = [1, 9]"), "model.loops[1] is 9", "1 to 8");
  EXPECT_ERROR_SAYS(error("model.loops = [1, 'x']"), "model.loops[1]", "integer");
  EXPECT_ERROR_SAYS(error("model.loops = []"), "model.loops", "at least one");
  EXPECT_ERROR_SAYS(error("model.loops = 0"), "model.loops is 0", "1 to 8");
}

TEST_F(TomlReaderTest, TablesAreReadInOrderWithTheirUnknownKeys) {
  TomlReader settings = reader("[[sizes]]\nwidth = 8\n[[sizes]]\nwidth = 16\nwith = 3\n");
  std::vector<TomlReader> sizes = settings.tables("sizes");
  ASSERT_EQ(sizes.size(), 2u);
  int width = 0;
  sizes[1].read("width", width, 1, 100);
  EXPECT_EQ(width, 16);
  sizes[1].finish();
  EXPECT_THAT(status_.message(), testing::HasSubstr("sizes[1].with"));
  EXPECT_TRUE(settings.tables("absent").empty());
}

TEST_F(TomlReaderTest, AListOfOtherThingsIsNoListOfTables) {
  reader("sizes = [1, 2]").tables("sizes");
  EXPECT_THAT(status_.message(), testing::HasSubstr("a list of tables"));
}

TEST_F(TomlReaderTest, AReadersEndReportsWhatNobodyAskedFor) {
  int loops = 0;
  {
    TomlReader settings = reader("[model]\nloops = 4\nloop = 3\n");
    TomlReader model = settings.child("model");
    model.read("loops", loops, 1, 8);
    EXPECT_OK(status_);
  }
  EXPECT_THAT(status_.message(), testing::HasSubstr("model.loop is not a known key"));
}

}  // namespace
}  // namespace looplm
