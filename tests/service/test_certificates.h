// Certificates made on the spot, for tests.
#ifndef HOCKET_TESTS_SERVICE_TEST_CERTIFICATES_H_
#define HOCKET_TESTS_SERVICE_TEST_CERTIFICATES_H_

#include <string>

#include "absl/time/time.h"

namespace hocket {

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// Signed by itself, for "localhost" and 127.0.0.1, with a P-256 key of its own.
TestCertificate MakeTestCertificate(const std::string& common_name, absl::Time begin,
                                    absl::Time end);

}  // namespace hocket

#endif  // HOCKET_TESTS_SERVICE_TEST_CERTIFICATES_H_
