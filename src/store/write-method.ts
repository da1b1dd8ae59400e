/** The HTTP method that made a version, as history entries report it. */
export type WriteMethod = 'POST' | 'PUT' | 'DELETE';
