// Bounds what a client may send as the headers of one call. gRPC 1.51 keeps what has come of a
// header until the rest comes, however long it is to be, and copies all of it with each piece; and
// its own limit on metadata begins anew with each frame (CVE-2023-33953). So one connection without
// a key can keep a core busy and take any memory. gRPC has no setting for that, and Debian's
// package no fix; but its parser of header blocks is called through the dynamic linker, so this
// program's definitions of a few of its functions come first: they count, and pass on. A later
// gRPC, which has mended this, calls the functions by other names, and ours are then called by
// nobody.
#ifndef HOCKET_SERVICE_HEADER_BLOCK_LIMIT_H_
#define HOCKET_SERVICE_HEADER_BLOCK_LIMIT_H_

#include <cstddef>
#include <cstdint>

namespace hocket {

// Of one header block, as it is sent: more ends the connection. What gRPC takes as metadata, 16 KiB
// as it counts it, is one frame or two.
inline constexpr size_t kMaxHeaderBlockBytes = 64 << 10;
inline constexpr uint32_t kMaxHeaderBlockFrames = 32;

// Since the process began, in all of its servers. Any thread.
int64_t HeaderBlocksRefused();

}  // namespace hocket

#endif  // HOCKET_SERVICE_HEADER_BLOCK_LIMIT_H_
