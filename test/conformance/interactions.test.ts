/** FHIR's interactions: read, history, create, update, patch, delete, batch, transaction, operations. */
import './cases/bundle.ts';
import './cases/history.ts';
import './cases/http-read.ts';
import './cases/http-write.ts';
import './cases/operations.ts';
import './cases/patch.ts';
import { runCases } from './conformance.ts';

runCases();
