// EXPECT_OK / ASSERT_OK for Status and Result, and a check on an error's words.
#ifndef LOOPLM_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define LOOPLM_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "looplm/status.h"

namespace looplm {

inline const Status& status_of(const Status& status) { return status; }
template <typename T>
const Status& status_of(const Result<T>& result) {
  return result.status();
}

}  // namespace looplm

#define EXPECT_OK(expression)                                                        \
  do {                                                                               \
    const auto& looplm_value_ = (expression);                                        \
    EXPECT_TRUE(looplm_value_.ok()) << ::looplm::status_of(looplm_value_).message(); \
  } while (false)
#define ASSERT_OK(expression)                                                        \
  do {                                                                               \
    const auto& looplm_value_ = (expression);                                        \
    ASSERT_TRUE(looplm_value_.ok()) << ::looplm::status_of(looplm_value_).message(); \
  } while (false)

// The expression fails and its message holds every given part.
#define EXPECT_ERROR_SAYS(expression, ...)                      \
  do {                                                          \
    const auto& looplm_value_ = (expression);                   \
    ASSERT_FALSE(looplm_value_.ok()) << "expected an error";    \
    for (const char* looplm_part_ : {__VA_ARGS__}) {            \
      EXPECT_THAT(::looplm::status_of(looplm_value_).message(), \
                  ::testing::HasSubstr(looplm_part_));          \
    }                                                           \
  } while (false)

#endif  // LOOPLM_TESTS_SUPPORT_STATUS_MATCHERS_H_
