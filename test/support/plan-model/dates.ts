/** Calendar arithmetic of the model, on its own, so that a fault in src/cpis does not hide itself. Dates are `YYYY-MM-DD`. */

export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Returns the birthday on which somebody reaches an age; 1 March for 29 February in a common year. */
export function birthdayAt(birthDate: string, age: number): string {
  const [year = '', month = '', day = ''] = birthDate.split('-');
  const date = `${String(Number(year) + age).padStart(4, '0')}-${month}-${day}`;
  return new Date(Date.parse(date)).toISOString().slice(0, 10) === date ? date : `${date.slice(0, 4)}-03-01`;
}

const london = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/London', timeZoneName: 'shortOffset' });

/** Returns the moment of a time of day in London, seconds after midnight. The clocks change between one and two. */
export function londonMoment(date: string, seconds: number): number {
  const utcMs = Date.parse(date) + seconds * 1000;
  const summerMs = utcMs - 3_600_000;
  return london.format(summerMs).includes('GMT+1') ? summerMs : utcMs;
}
