// What is found wrong with certificates and keys before anybody is served with them.
#include "service/tls_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "test_certificates.h"

namespace hocket {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class TlsIdentityTest : public testing::Test {
 protected:
  void SetUp() override { Write(MakeTestCertificate("front", now_ - kDay, now_ + 90 * kDay)); }

  std::string PathOf(const std::string& name) { return testing::TempDir() + name; }
  std::string WriteFile(const std::string& name, const std::string& text) {
    std::ofstream(PathOf(name)) << text;
    return PathOf(name);
  }
  void Write(const TestCertificate& made) {
    files_.certificate = WriteFile("identity.crt", made.certificate_pem);
    files_.key = WriteFile("identity.key", made.key_pem);
  }
  std::string Error() { return std::string(LoadTlsIdentity(files_, now_).status().message()); }

  static constexpr absl::Duration kDay = absl::Hours(24);
  const absl::Time now_ = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  TlsFiles files_;
};

TEST_F(TlsIdentityTest, TellsWhoseCertificateItIsAndUntilWhen) {
  files_.client_ca = files_.certificate;
  const absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(files_, now_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->subject, "CN=front");
  EXPECT_EQ(identity->expires, now_ + 90 * kDay);
  EXPECT_THAT(identity->key_pem, StartsWith("-----BEGIN PRIVATE KEY-----"));
  EXPECT_EQ(identity->client_ca_pem, identity->certificate_pem);
}

TEST_F(TlsIdentityTest, FilesThatAreNotThereAreNamedWithTheirFlag) {
  files_.key = "/nowhere/server.key";
  EXPECT_EQ(Error(), "--tls-key: cannot read /nowhere/server.key: No such file or directory");
}

TEST_F(TlsIdentityTest, AnotherCertificatesKeyIsRefused) {
  files_.key = WriteFile("other.key", MakeTestCertificate("b", now_ - kDay, now_ + kDay).key_pem);
  EXPECT_EQ(Error(), absl::StrCat("--tls-key: ", files_.key,
                                  ": is not the key of the certificate in ", files_.certificate));
}

TEST_F(TlsIdentityTest, ExpiredAndFutureCertificatesAreRefusedWithTheirDates) {
  Write(MakeTestCertificate("old", now_ - 2 * kDay, now_ - kDay));
  EXPECT_THAT(Error(), HasSubstr("the certificate of CN=old expired at 20"));
  Write(MakeTestCertificate("young", now_ + kDay, now_ + 2 * kDay));
  EXPECT_THAT(Error(), HasSubstr("the certificate of CN=young is not valid before 20"));
}

TEST_F(TlsIdentityTest, WhatIsNoCertificateOrNoKeyIsRefused) {
  const TlsFiles good = files_;
  files_.certificate = good.key;
  EXPECT_EQ(Error(), absl::StrCat("--tls-cert: ", good.key, ": holds no PEM certificate"));
  files_ = good;
  files_.key = good.certificate;
  EXPECT_THAT(Error(), HasSubstr("holds no PEM private key without a passphrase"));
  files_ = good;
  files_.client_ca = WriteFile("empty.crt", "");
  EXPECT_EQ(Error(),
            absl::StrCat("--tls-client-ca: ", files_.client_ca, ": holds no PEM certificate"));
  files_.client_ca =
      WriteFile("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(Error(), HasSubstr("holds a broken certificate"));
}

}  // namespace
}  // namespace hocket
