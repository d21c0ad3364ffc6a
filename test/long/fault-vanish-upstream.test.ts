// The fault table, last part: upstreams of which no packet arrives any more. All of them vanish at once.

import { vanishing } from "../kit/vanish.ts";

vanishing("upstream");
