// The fault table, last part: clients of which no packet arrives any more. All of them vanish at once.

import { vanishing } from "../kit/vanish.ts";

vanishing("client");
