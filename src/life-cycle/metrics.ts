import { Counter, Gauge, type Registry } from 'prom-client';
import type { PlanEventCode } from '../cpis/plan-event.ts';
import type { PlanSurvey } from './plan-survey.ts';

/** Receives what a sweep does. */
export interface LifeCycleMetrics {
  readonly onEvent: (code: PlanEventCode) => void;
  readonly onSwept: (atMs: number) => void;
}

/** Registers the metrics of the life cycle. Those of the plans are read from the survey at each scrape. */
export function registerLifeCycleMetrics(register: Registry, survey: Pick<PlanSurvey, 'read'>): LifeCycleMetrics {
  const registers = [register];
  const labelNames = ['authority'];
  new Gauge({
    name: 'cpis_authority_last_submission_timestamp_seconds',
    help: 'Day on which an authority last created, amended or confirmed a plan: its midnight UTC, seconds since 1970',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const [authority, { lastSubmitted }] of survey.read()) {
        this.set({ authority }, Date.parse(lastSubmitted) / 1000);
      }
    },
  });
  new Gauge({
    name: 'cpis_plans_unconfirmed',
    help: 'Open plans that their authority has not submitted for longer than CPIS_UNCONFIRMED_AFTER_DAYS',
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const [authority, { unconfirmed }] of survey.read()) this.set({ authority }, unconfirmed);
    },
  });
  new Gauge({
    name: 'cpis_plans_without_due_date',
    help: "Open unborn children's plans without an expected date of delivery, 300 days or more after their start",
    labelNames,
    registers,
    collect() {
      this.reset();
      for (const [authority, { withoutDueDate }] of survey.read()) this.set({ authority }, withoutDueDate);
    },
  });
  const events = new Counter({
    name: 'cpis_plan_events_total',
    help: 'Events of the life cycle of plans recorded by this process, by code',
    labelNames: ['event'],
    registers,
  });
  const swept = new Gauge({
    name: 'cpis_plan_sweep_timestamp_seconds',
    help: 'When the daily sweep of open plans last ended, seconds since 1970; 0 before the first',
    registers,
  });
  return {
    onEvent: (event) => events.inc({ event }),
    onSwept: (atMs) => swept.set(atMs / 1000),
  };
}
