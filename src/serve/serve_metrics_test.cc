#include "serve/serve_metrics.h"

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include <gmock/gmock.h>

namespace looplm {
namespace {

// The dashboard asks for what there is, and leaves nothing out.
TEST(ServeMetrics, TheDashboardShowsThemAll) {
  ServeMetrics metrics;
  Generation generation;
  generation.tokens.emplace_back().loops = 1;
  metrics.answered(200);
  metrics.of("a").ended(generation, 1);
  const ServeMetrics::Engine engine{"a"};
  const std::string text = metrics.text({&engine, 1}, 1);
  std::set<std::string> exported;
  const std::regex typed("# TYPE (looplm_[a-z_]+)");
  for (std::sregex_iterator i(text.begin(), text.end(), typed), end; i != end; ++i)
    exported.insert((*i)[1]);

  std::ifstream file("packaging/grafana.json");
  ASSERT_TRUE(file.good());
  const std::string dashboard(std::istreambuf_iterator<char>(file), {});
  std::set<std::string> shown;
  const std::regex named("looplm_[a-z_]+");
  for (std::sregex_iterator i(dashboard.begin(), dashboard.end(), named), end; i != end; ++i)
    shown.insert(std::regex_replace(i->str(), std::regex("_bucket$"), ""));
  EXPECT_THAT(exported, testing::IsSupersetOf(shown));
  // Counts of the same things as others that are shown.
  for (const char* name : {"looplm_requests_total", "looplm_finished_total"}) shown.insert(name);
  EXPECT_EQ(shown, exported);
}

}  // namespace
}  // namespace looplm
