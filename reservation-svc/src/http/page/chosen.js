// The seats that this visitor has chosen and not held yet: remembered in this tab over a reload. Held by nobody.

const KEY = "chosen";

const read = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
};

export const chosen = {
  /** The names of all of them. */
  all: () => read().seats ?? [],
  /** Those of this schedule. */
  of: (schedule) => (read().schedule === schedule ? read().seats : []),
  keep(schedule, seats) {
    if (seats.length) sessionStorage.setItem(KEY, JSON.stringify({ schedule, seats }));
    else if (read().schedule === schedule) sessionStorage.removeItem(KEY);
  },
  drop: () => sessionStorage.removeItem(KEY),
};
