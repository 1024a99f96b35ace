#include "service/tenant_metrics.h"

namespace hocket {
namespace {

constexpr char kOther[] = "other";

}  // namespace

TenantMetrics::TenantMetrics(const MetricSeries& series) : series_(series), other_(Make(kOther)) {}

void TenantMetrics::Name(const std::vector<std::string>& tenants) {
  std::lock_guard lock(mutex_);
  for (const std::string& tenant : tenants) {
    if (named_.size() >= kMaxNamed) return;
    if (tenant.empty() || tenant == kOther || named_.contains(tenant)) continue;
    named_.emplace(tenant, Make(tenant));
  }
}

TenantSeries TenantMetrics::Of(const std::string& tenant) const {
  std::lock_guard lock(mutex_);
  const auto found = named_.find(tenant);
  return found == named_.end() ? other_ : found->second;
}

TenantSeries TenantMetrics::Make(const std::string& label) const {
  const prometheus::Labels tenant = {{"tenant", label}};
  const auto held = [&](const char* state) {
    return &series_.Gauge("hocket_tenant_requests_held",
                          "Requests of a tenant that the engine holds, by whether they started.",
                          {{"tenant", label}, {"state", state}});
  };
  return {
      .requests = &series_.Counter("hocket_tenant_requests_total",
                                   "Requests of a tenant that the engine took.", tenant),
      .prompt_tokens = &series_.Counter("hocket_tenant_prompt_tokens_total",
                                        "Prompt tokens of a tenant's started requests.", tenant),
      .generated_tokens = &series_.Counter("hocket_tenant_generated_tokens_total",
                                           "Tokens generated for a tenant.", tenant),
      .waiting = held("waiting"),
      .running = held("running")};
}

}  // namespace hocket
