// How coroutines wait for Asio: an error comes back as a value and is not thrown.
#ifndef LOOPLM_NET_AWAIT_H_
#define LOOPLM_NET_AWAIT_H_

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace looplm {

inline constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace looplm

#endif  // LOOPLM_NET_AWAIT_H_
