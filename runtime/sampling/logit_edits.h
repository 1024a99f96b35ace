// Changes to single logits of a row before temperature and filters: bias, bans and penalties. Only
// the tokens named are touched, and they can be put back. Any thread, each with its own scratch.
#ifndef HOCKET_RUNTIME_SAMPLING_LOGIT_EDITS_H_
#define HOCKET_RUNTIME_SAMPLING_LOGIT_EDITS_H_

#include <span>

#include "runtime/sampling/row_request.h"
#include "runtime/sampling/selection.h"

namespace hocket {

// A row whose edits are applied, until Restore.
struct EditedRow {
  const float* logits = nullptr;  // The row's own, or a masked copy in the scratch.
  float max = 0;                  // Its largest logit; scratch.chunk_max is brought up to date.
};

// `scratch.chunk_max` must be that of `logits`, and `max` their largest. No edit makes a finite
// logit infinite but a ban.
EditedRow ApplyEdits(std::span<float> logits, float max, const RowRequest& request,
                     RowScratch& scratch);

// Puts the logits and scratch.chunk_max back as they were.
void RestoreEdits(std::span<float> logits, const RowRequest& request, RowScratch& scratch);

}  // namespace hocket

#endif  // HOCKET_RUNTIME_SAMPLING_LOGIT_EDITS_H_
