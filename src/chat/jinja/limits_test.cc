// Hostile and broken templates end with an error that says where and why, within bounds.
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "chat/jinja/json_value.h"
#include "chat/jinja/program.h"
#include "support/status_matchers.h"

namespace looplm::jinja {
namespace {

// With a tenth of the usual steps, so that the tests are quick; sanitizers take ten times as long.
#ifdef LOOPLM_SANITIZED
constexpr size_t kLess = 100;
constexpr size_t kMany = 20000;  // nested; frames are larger, too
#else
constexpr size_t kLess = 10;
constexpr size_t kMany = 100000;
#endif

Status status_of(const std::string& source) {
  const Result<Program> program = Program::parse(source);
  if (!program.ok()) return program.status();
  RenderLimits limits;
  limits.steps /= kLess;
  limits.bytes /= kLess / 10;
  return program.value().render({}, 0, limits).status();
}

std::string repeated(std::string_view text, size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

TEST(JinjaLimits, EndlessWorkEnds) {
  const std::vector<std::string> hostile = {
      "{% for a in range(100000) %}{% for b in range(100000) %}{{ a }}{% endfor %}{% endfor %}",
      "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
      "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
      "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{{ 'a' * 10**9 }}",
      "{{ ['a'] * 10**9 }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a'.center(10**10) }}",
      "{{ 'a'|indent(10**10, true) }}",
      "{{ 'a'.zfill(10**10) }}",
      "{{ [1]|tojson(indent=10**10) }}",
      "{{ [1]|batch(10**9, 0)|list }}",
      "{{ [1]|slice(10**9, 0)|list }}",
      "{{ range(10**12) }}",
      "{{ 2 ** 1000 }}",
      "{{ 10 ** 38 * 10 }}",
      "{{ '%.1000000000f' % 1 }}",
      "{{ 1|round(10**9) + 'x' }}",
      "{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s "
      "%}{% endfor %}",
      "{% set ns = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.s = "
      "ns.s.replace('a', 'aa') %}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor "
      "%}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% "
      "endfor %}{{ ns.l|tojson }}",
      "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(100) %}{% set ns.a = [ns.a, ns.a] "
      "%}{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
      "{% set ns = namespace(g=[1]) %}{% for i in range(100000) %}{% set ns.g = ns.g|map('string') "
      "%}{% endfor %}{{ ns.g|list }}",
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ [ns]|map('string')|join }}",
      "{% set s = 'ab' * 100000 %}{% for i in range(100000) %}{% if s ~ 'x' == s ~ 'y' %}{% endif "
      "%}{% endfor %}",
      "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s.find('ba' * 3 ~ 'c') }}{% "
      "endfor %}",
      "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s|length }}{% endfor %}",
      "{% set s = 'ab' * 1000000 %}{% for i in range(100000) %}{{ s[5] }}{% endfor %}",
      "{% set l = range(100000)|list %}{% for i in l %}{{ -1 in l }}{% endfor %}",
      "{% set l = range(100000)|list %}{% for i in l %}{{ l|sort|length }}{% endfor %}",
  };
  for (const std::string& source : hostile) {
    const auto start = std::chrono::steady_clock::now();
    const Status status = status_of(source);
    EXPECT_FALSE(status.ok()) << source;
    EXPECT_THAT(status.message(), testing::StartsWith("line 1: ")) << source;
    // Bounded, not fast: a machine under load takes its time.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60)) << source;
  }
}

TEST(JinjaLimits, DeepNestingIsRefused) {
  const std::vector<std::string> deep = {
      "{{ " + repeated("(", kMany) + "1" + repeated(")", kMany) + " }}",
      "{{ " + repeated("[", kMany) + repeated("]", kMany) + " }}",
      "{{ " + repeated("{'a':", kMany) + "1" + repeated("}", kMany) + " }}",
      "{{ " + repeated("not ", kMany) + "1 }}",
      "{{ " + repeated("-", kMany) + "1 }}",
      "{{ " + repeated("1 if 1 else ", kMany / 2) + "1 }}",
      "{{ 1" + repeated(" + 1", kMany) + " }}",
      "{{ 1" + repeated("|abs", kMany) + " }}",
      "{{ a" + repeated(".b", kMany) + " }}",
      "{{ a" + repeated("()", kMany) + " }}",
      "{{ 1" + repeated(" is odd", kMany) + " }}",
      "{{ 1" + repeated(" and 1", kMany) + " }}",
      "{{ 1" + repeated(" if 1", kMany) + " }}",
      repeated("{% if 1 %}", kMany / 4) + repeated("{% endif %}", kMany / 4),
      repeated("{% for a in b %}", kMany / 4) + repeated("{% endfor %}", kMany / 4),
      "{% set " + repeated("(", kMany) + "a" + repeated(")", kMany) + " = 1 %}",
  };
  for (const std::string& source : deep) {
    const Status status = status_of(source);
    EXPECT_FALSE(status.ok()) << source.substr(0, 60);
    EXPECT_THAT(status.message(), testing::StartsWith("line 1: ")) << source.substr(0, 60);
  }
  // Long is not deep.
  EXPECT_OK(status_of("{{ '' " + repeated("~ 'a' ", 10000) + "}}"));
  EXPECT_OK(status_of(repeated("{% if 0 %}{% endif %}", 10000)));
  EXPECT_OK(status_of("{{ [" + repeated("1, ", 10000) + "]|length }}"));
}

TEST(JinjaLimits, ErrorsNameLineAndCause) {
  EXPECT_ERROR_SAYS(status_of("a\nb {{ c.d }}"), "line 2: 'c' is undefined");
  EXPECT_ERROR_SAYS(status_of("a\n\n{{ raise_exception('Roles must alternate') }}"),
                    "line 3: Roles must alternate");
  EXPECT_ERROR_SAYS(status_of("{% if a %}\nb"), "line 1: the template ends before {% endif %}");
  EXPECT_ERROR_SAYS(status_of("\n{{ 'a' + 1 }}"),
                    "line 2: '+' is not possible between a str and a int");
  EXPECT_ERROR_SAYS(status_of("{{ [1].append(2) }}"),
                    "list.append would change the list, which templates may not");
  EXPECT_ERROR_SAYS(status_of("{{ x|nope }}"), "there is no filter 'nope'");
  EXPECT_ERROR_SAYS(status_of("{{ (1 }}"), "line 1: unexpected '}'; expected ')'");
  EXPECT_ERROR_SAYS(status_of("{{ 1 2 }}"), "found a number; expected '}}'");
  EXPECT_ERROR_SAYS(status_of("\xff"), "not UTF-8");
  EXPECT_ERROR_SAYS(status_of(std::string(size_t{2} << 20, 'a')), "expected at most 1048576");
}

TEST(JinjaOrigins, EveryPartKeepsItsOrigin) {
  const auto foreign = [](const std::string& source) {
    const Value variables = from_json(
        OrderedJson::parse(R"({"u": "U<x>", "l": ["a", "b"], "d": {"k": "v"}})"), kForeign);
    const Result<Text> text = Program::parse(source).value().render(*variables.dict(), 0);
    EXPECT_OK(text.status());
    std::string marked;
    text.value().for_each_run(0, text.value().size(), [&](std::string_view part, Marks marks) {
      marked += (marks & kForeign) != 0 ? "[" + std::string(part) + "]" : std::string(part);
    });
    return marked;
  };
  EXPECT_EQ(foreign("<x>{{ u }}<x>"), "<x>[U<x>]<x>");
  EXPECT_EQ(foreign("{{ '<x>' + u + '<x>' }}"), "<x>[U<x>]<x>");
  EXPECT_EQ(foreign("{{ 'a' ~ u ~ 1 }}{{ (u ~ '<x>')[2:5] }}"), "a[U<x>]1[x>]<");
  EXPECT_EQ(foreign("{{ ('<' + u)|upper }}{{ (' ' + u + ' ')|trim }}"), "<[U<X>U<x>]");
  EXPECT_EQ(foreign("{{ u|replace('<', '{') }}{{ 'a-b'|replace('-', u) }}"), "[U]{[x>]a[U<x>]b");
  EXPECT_EQ(foreign("{{ l|join('<x>') }}{{ '<x>'.join(l) }}"), "[a]<x>[ba]<x>[b]");
  EXPECT_EQ(foreign("{{ d|tojson }}{{ d }}{{ [u] }}"),
            "{\"[k]\": \"[v]\"}{'[k]': '[v]'}['[U<x>]']");
  EXPECT_EQ(foreign("{{ 'x%sy' % u }}{{ '<{}>'.format(u) }}{{ '%5s' % 'a' }}"),
            "x[U<x>]y<[U<x>]>    a");
  EXPECT_EQ(foreign("{{ (u ~ '|' ~ u).split('|')[1] }}{% for c in u %}{{ c }}{% endfor %}"),
            "[U<x>U<x>]");
  EXPECT_EQ(foreign("{% set v %}<{{ u }}>{% endset %}{{ v }}{{ v[::-1] }}{{ v|indent(2, true) }}"),
            "<[U<x>]>>[>x<U]<  <[U<x>]>");
  EXPECT_EQ(
      foreign("{% for k, v in d|items %}{{ k }}{{ v }}{% endfor %}{{ l|first }}{{ u|length }}"),
      "[kva]4");
  EXPECT_EQ(foreign("{% macro m(a) %}<x>{{ a }}{% endmacro %}{{ m(u) }}{{ m('t') }}"),
            "<x>[U<x>]<x>t");
}

}  // namespace
}  // namespace looplm::jinja
