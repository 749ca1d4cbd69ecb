// Match logits of the candidates of a block of queries, each pair the cheapest way.
#pragma once

#include "bundle.h"
#include "gallery.h"

namespace cfack {

// Fill workspace.logits for the candidates of workspace.queries that are to be re-ranked; text i is query i.
// An image that enough queries share is read once, and its keys and values are computed once for all of them; other
// pairs go query by query. Both give the same logits up to rounding. Throws Error.
void match_candidates(const Bundle& bundle, const Gallery& gallery, Workspace* workspace);

}  // namespace cfack
