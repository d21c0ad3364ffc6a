// Behind nginx, as the README configures it: the fault table's upstream half (test/kit/behind.ts).

import { faultsBehind } from "../kit/behind.ts";

faultsBehind("nginx");
