/** `upkeep` of settings.json with seconds for what are hours in the field, for swarms of real daemons. */
export const SHORT_CLOCKS = {
  beatEvery: "2s",
  unreachableAfter: "12s",
  beatSlack: "2m",
  reportValid: "30s",
  returnStable: "4s",
  lostAfter: "1h",
  grace: ["0s", "5s", "10s", "20s", "40s"],
  firstGraceWithOwner: "5s",
  storm: { window: "5s", frozen: "10m" },
  assessEvery: "2s",
  auditEvery: "1h",
  uplink: "10Gbit/s",
  budget: "100%",
  night: "100%",
};
