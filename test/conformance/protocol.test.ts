/** What holds for every request: HTTP, JSON, NHS England's conventions, the statement, and what is not served. */
import './cases/capabilities.ts';
import './cases/http-general.ts';
import './cases/json.ts';
import './cases/nhs-conventions.ts';
import './cases/not-served.ts';
import { runCases } from './conformance.ts';

runCases();
