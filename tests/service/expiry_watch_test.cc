// Who is warned of what expires, and how often.
#include "service/expiry_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "captured_log.h"

namespace hocket {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kDay = absl::Hours(24);

class ExpiryWatchTest : public testing::Test {
 protected:
  const absl::Time now_ = absl::FromUnixSeconds(1'900'000'000);  // 2030-03-17T17:46:40Z.
  CapturedLog log_;
  ExpiryWatch watch_;
};

TEST_F(ExpiryWatchTest, ACertificateWithMuchTimeIsToldOnceAndWarnedOfWhenLittleIsLeft) {
  watch_.SetCertificate({.name = "CN=front", .at = now_ + 20 * kDay}, now_);
  EXPECT_THAT(
      log_.Take(),
      ElementsAre("info tls_certificate subject=\"CN=front\" expires=2030-04-06T17:46:40+00:00"));
  watch_.Look(now_ + 5 * kDay);
  EXPECT_THAT(log_.Take(), IsEmpty());
  watch_.Look(now_ + 6 * kDay + absl::Seconds(1));
  EXPECT_THAT(log_.Take(), ElementsAre("warning tls_certificate_expires_soon subject=\"CN=front\" "
                                       "expires=2030-04-06T17:46:40+00:00"));
}

TEST_F(ExpiryWatchTest, AWarningComesOnceADayUntilTheCertificateIsReplaced) {
  watch_.SetCertificate({.name = "CN=front", .at = now_ + 3 * kDay}, now_);
  int warnings = static_cast<int>(log_.Take().size());
  for (absl::Time time = now_; time < now_ + 2 * kDay; time += absl::Minutes(1)) watch_.Look(time);
  warnings += static_cast<int>(log_.Take().size());
  EXPECT_EQ(warnings, 2) << "when it was loaded, and a day later";
  watch_.Look(now_ + 4 * kDay);
  EXPECT_THAT(log_.Take(), ElementsAre("warning tls_certificate_expired subject=\"CN=front\" "
                                       "expires=2030-03-20T17:46:40+00:00"));
  watch_.SetCertificate({.name = "CN=next", .at = now_ + 90 * kDay}, now_ + 4 * kDay);
  log_.Take();
  watch_.Look(now_ + 6 * kDay);
  EXPECT_THAT(log_.Take(), IsEmpty());
}

TEST_F(ExpiryWatchTest, KeysThatExpireSoonAreOneLineADay) {
  watch_.SetKeys({{.name = "late", .at = now_ + 40 * kDay},
                  {.name = "soon", .at = now_ + 10 * kDay},
                  {.name = "sooner", .at = now_ + 2 * kDay},
                  {.name = "gone", .at = now_ - kDay}},
                 now_);
  EXPECT_THAT(log_.Take(), ElementsAre("warning api_keys_expire_soon keys=2 first=sooner "
                                       "expires=2030-03-19T17:46:40+00:00"));
  watch_.Look(now_ + kDay - absl::Seconds(1));
  EXPECT_THAT(log_.Take(), IsEmpty());
  watch_.Look(now_ + 3 * kDay);
  EXPECT_THAT(log_.Take(), ElementsAre("warning api_keys_expire_soon keys=1 first=soon "
                                       "expires=2030-03-27T17:46:40+00:00"));
}

TEST_F(ExpiryWatchTest, TheNextKeyIsTheFirstThatHasNotExpired) {
  EXPECT_EQ(watch_.NextKey(now_), absl::InfiniteFuture());
  watch_.SetKeys({{.name = "b", .at = now_ + kDay}, {.name = "a", .at = now_}}, now_);
  EXPECT_EQ(watch_.NextKey(now_ - kDay), now_);
  EXPECT_EQ(watch_.NextKey(now_), now_ + kDay) << "from its time on a key is unknown";
  EXPECT_EQ(watch_.NextKey(now_ + kDay), absl::InfiniteFuture());
  watch_.Look(now_);
  EXPECT_THAT(log_.Take(), testing::SizeIs(1)) << "without a certificate nothing is said of one";
}

}  // namespace
}  // namespace hocket
