// Checks of flag values that say what is wrong and what is allowed. Pure; any thread.
#ifndef HOCKET_SERVICE_CLI_FLAG_CHECKS_H_
#define HOCKET_SERVICE_CLI_FLAG_CHECKS_H_

#include <cstdint>

#include "CLI/CLI.hpp"

namespace hocket {

// A whole number in [low, high].
CLI::Validator WholeNumber(int64_t low, int64_t high);

// A finite number in [low, high], or in (low, high] where `above_low`.
CLI::Validator Number(double low, double high, bool above_low = false);

// A size that ParseByteSize reads; replaced by its number of bytes.
CLI::Validator ByteSize();

// What ParseTokenList, or ParseNumberList with each entry in [low, high] (or (low, high]), reads.
CLI::Validator TokenList();
CLI::Validator NumberList(double low, double high, bool above_low = false);
CLI::Validator WholeNumberList(int64_t low, int64_t high);

}  // namespace hocket

#endif  // HOCKET_SERVICE_CLI_FLAG_CHECKS_H_
