/** Search, Subscriptions, and other projects' FHIR clients. */
import './cases/clients.ts';
import './cases/search.ts';
import './cases/subscription.ts';
import { runCases } from './conformance.ts';

runCases();
