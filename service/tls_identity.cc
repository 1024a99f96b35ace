#include "service/tls_identity.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/file_contents.h"

namespace hocket {
namespace {

constexpr size_t kMaxPemBytes = 1 << 20;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;

// One of the files, as its errors are told.
struct Source {
  absl::string_view flag;
  const std::string& path;

  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": ", path, ": ", what));
  }
};

// What OpenSSL complained of last; clears it.
std::string OpenSslReason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

BioPtr Reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::StatusOr<std::vector<CertificatePtr>> ReadCertificates(const std::string& pem,
                                                             const Source& source) {
  const BioPtr reader = Reader(pem);
  std::vector<CertificatePtr> certificates;
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = OpenSslReason();
  if (certificates.empty() && at_end) return source.Error("holds no PEM certificate");
  if (!at_end) return source.Error(absl::StrCat("holds a broken certificate: ", reason));
  return certificates;
}

absl::StatusOr<KeyPtr> ReadKey(const std::string& pem, const Source& source) {
  const BioPtr reader = Reader(pem);
  // Else OpenSSL would ask for a passphrase on the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(reader.get(), nullptr, no_passphrase, nullptr));
  const std::string reason = OpenSslReason();
  if (key == nullptr) {
    return source.Error(absl::StrCat("holds no PEM private key without a passphrase: ", reason));
  }
  return key;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTimeT(timegm(&fields));
}

std::string SubjectOf(const X509* certificate) {
  const BioPtr text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* begin = nullptr;
  const long length = BIO_get_mem_data(text.get(), &begin);
  return std::string(begin, static_cast<size_t>(length));
}

absl::Status CheckDates(const X509* certificate, absl::Time now, const Source& source) {
  const absl::Time begin = TimeOf(X509_get0_notBefore(certificate));
  const absl::Time end = TimeOf(X509_get0_notAfter(certificate));
  const auto utc = [](absl::Time time) { return absl::FormatTime(time, absl::UTCTimeZone()); };
  if (now >= end) {
    return source.Error(
        absl::StrCat("the certificate of ", SubjectOf(certificate), " expired at ", utc(end)));
  }
  if (now < begin) {
    return source.Error(absl::StrCat("the certificate of ", SubjectOf(certificate),
                                     " is not valid before ", utc(begin)));
  }
  return absl::OkStatus();
}

// As gRPC will do it, so that nothing is found wrong later: a key that is too short, say.
absl::Status TryOut(X509* certificate, EVP_PKEY* key, const Source& certificate_source,
                    const Source& key_source) {
  const ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::InternalError("OpenSSL gives no context");
  ERR_clear_error();
  if (SSL_CTX_use_certificate(context.get(), certificate) != 1) {
    return certificate_source.Error(absl::StrCat("cannot be used: ", OpenSslReason()));
  }
  if (X509_check_private_key(certificate, key) != 1) {
    ERR_clear_error();
    return key_source.Error(
        absl::StrCat("is not the key of the certificate in ", certificate_source.path));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1) {
    return key_source.Error(absl::StrCat("cannot be used: ", OpenSslReason()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPem(const Source& source) {
  absl::StatusOr<FileContents> contents = ReadWholeFile(source.path, kMaxPemBytes);
  if (contents.ok()) return std::move(contents->bytes);
  return absl::InvalidArgumentError(absl::StrCat(source.flag, ": ", contents.status().message()));
}

}  // namespace

absl::StatusOr<TlsIdentity> LoadTlsIdentity(const TlsFiles& files, absl::Time now) {
  const Source certificate_source{"--tls-cert", files.certificate};
  const Source key_source{"--tls-key", files.key};
  const Source ca_source{"--tls-client-ca", files.client_ca};
  absl::StatusOr<std::string> certificate_pem = ReadPem(certificate_source);
  if (!certificate_pem.ok()) return certificate_pem.status();
  absl::StatusOr<std::string> key_pem = ReadPem(key_source);
  if (!key_pem.ok()) return key_pem.status();

  const auto certificates = ReadCertificates(*certificate_pem, certificate_source);
  if (!certificates.ok()) return certificates.status();
  const absl::StatusOr<KeyPtr> key = ReadKey(*key_pem, key_source);
  if (!key.ok()) return key.status();
  X509* own = certificates->front().get();
  absl::Status status = CheckDates(own, now, certificate_source);
  status.Update(TryOut(own, key->get(), certificate_source, key_source));
  if (!status.ok()) return status;

  TlsIdentity identity;
  if (!files.client_ca.empty()) {
    absl::StatusOr<std::string> ca_pem = ReadPem(ca_source);
    if (!ca_pem.ok()) return ca_pem.status();
    const auto authorities = ReadCertificates(*ca_pem, ca_source);
    if (!authorities.ok()) return authorities.status();
    identity.client_ca_pem = *std::move(ca_pem);
  }
  identity.certificate_pem = *std::move(certificate_pem);
  identity.key_pem = *std::move(key_pem);
  identity.subject = SubjectOf(own);
  identity.expires = TimeOf(X509_get0_notAfter(own));
  return identity;
}

}  // namespace hocket
