export { SHORT_CLOCKS } from "../../sim/daemons/short-clocks.ts";
