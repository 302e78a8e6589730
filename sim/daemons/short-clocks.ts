/** `upkeep` of settings.json with seconds for what are hours in the field, for swarms of real daemons. */
export const SHORT_CLOCKS = {
  beatEvery: "5s",
  unreachableAfter: "20s",
  beatSlack: "2m",
  reportValid: "40s",
  returnStable: "4s",
  lostAfter: "1h",
  grace: ["0s", "10s", "60s", "60s", "60s"],
  firstGraceWithOwner: "5s",
  storm: { window: "5s", frozen: "10m" },
  assessEvery: "2s",
  auditEvery: "1h",
  uplink: "10Gbit/s",
  budget: "100%",
  night: "100%",
};
